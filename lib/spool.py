"""Between gate and store: a snapshot is on disk before it counts as fetched, and leaves only when the store has it.

One folder per series. At any moment, over restarts and crashes: fetched = stored + spooled + dropped.
The contract is docs/delivery.md.
"""

import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl
import structlog
from pydantic import TypeAdapter, ValidationError

from lib.clock import from_epoch, isoformat
from lib.errors import SettingsRejected, SpoolUnavailable
from lib.schema import Series
from lib.snapshot import Marker, Snapshot

log = structlog.get_logger()

ENDING = ".snapshot"
ASIDE = "damaged"
COUNTS = "counts.json"
VERSION = 1
_MARKER = TypeAdapter(Marker)


class Damaged(Exception):
    """A spool file that is not what was written."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the snapshots that passed the gate. `stored` is the rest: confirmed by the store."""

    fetched: int = 0
    dropped: int = 0
    spooled: int = 0
    spooled_bytes: int = 0

    @property
    def stored(self) -> int:
        """How many the store has confirmed."""
        return self.fetched - self.dropped - self.spooled


@dataclass(frozen=True, slots=True)
class Entry:
    """One snapshot on disk, by its place in the order of fetching."""

    path: Path
    number: int
    tick: datetime
    size: int


class Spool:
    """The spool of one series. Bounded: what no longer fits falls out, oldest first, counted and logged."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock: BinaryIO | None = None

    def open(self) -> None:
        """Take the folder for this process alone; SettingsRejected when another one has it."""
        try:
            (self._folder / ASIDE).mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            self.close()
            raise SettingsRejected(
                f"spool {self._folder}: another process fills it; give each its own TOPCOINS_SPOOL_DIR"
            ) from exc
        except OSError as exc:
            raise SettingsRejected(f"spool {self._folder} can't be written: {exc.strerror}") from exc
        for unfinished in self._folder.glob("*.part"):
            unfinished.unlink()

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock:
            self._lock.close()

    def put(self, snapshot: Snapshot) -> None:
        """Put a snapshot on disk, atomically and for sure; SpoolUnavailable when the disk does not take it."""
        counts = counted(self._folder)
        body = encode(snapshot)
        if len(body) > self._limit:
            raise SpoolUnavailable(f"spool {self._folder}: a snapshot of {len(body)} bytes is over its limit")
        number = counts.fetched + 1
        name = f"{number:012d}-{int(snapshot.tick.timestamp())}{ENDING}"
        try:
            dropped = counts.dropped + self._make_room(len(body))
            write_whole(self._folder / name, body)
            self._count(number, dropped)
        except OSError as exc:
            raise SpoolUnavailable(f"spool {self._folder}: {exc.strerror}") from exc

    def take(self) -> Iterator[tuple[Entry, Snapshot]]:
        """The snapshots on disk, in the order they were fetched. Damaged ones are set aside, and count as dropped."""
        for entry in entries(self._folder):
            try:
                yield entry, decode(entry.path.read_bytes())
            except (Damaged, OSError) as exc:
                self.set_aside(entry, str(exc))

    def confirm(self, entry: Entry) -> None:
        """The store has this one: it leaves."""
        entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> None:
        """This one can't be delivered, now or later: keep it for a person, and count it as dropped."""
        log.error("snapshot set aside", file=entry.path.name, tick=entry.tick, why=why)
        counts = counted(self._folder)
        entry.path.rename(self._folder / ASIDE / entry.path.name)
        self._count(counts.fetched, counts.dropped + 1)

    def counts(self) -> Counts:
        """What became of this series' snapshots."""
        return counted(self._folder)

    def _make_room(self, size: int) -> int:
        waiting = entries(self._folder)
        held = sum(entry.size for entry in waiting)
        dropped = 0
        while waiting and held + size > self._limit:
            oldest = waiting.pop(0)
            held -= oldest.size
            oldest.path.unlink()
            dropped += 1
            log.error("snapshot dropped: the spool is full", tick=oldest.tick, limit=self._limit)
        return dropped

    def _count(self, fetched: int, dropped: int) -> None:
        write_whole(self._folder / COUNTS, orjson.dumps({"fetched": fetched, "dropped": dropped}))


def counted(folder: Path) -> Counts:
    """The counts of a spool's folder, also for who only reads it. A crash between two steps is seen through."""
    try:
        kept = orjson.loads((folder / COUNTS).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        kept = {"fetched": 0, "dropped": 0}
    waiting = entries(folder)
    newest = max((entry.number for entry in waiting), default=0)
    return Counts(
        fetched=max(kept["fetched"], newest),
        dropped=kept["dropped"],
        spooled=len(waiting),
        spooled_bytes=sum(entry.size for entry in waiting),
    )


def entries(folder: Path) -> list[Entry]:
    """The snapshots waiting in a folder, in the order they were fetched."""
    found = []
    for path in folder.glob(f"*{ENDING}"):
        number, _, tick = path.name.removesuffix(ENDING).partition("-")
        try:
            found.append(Entry(path, int(number), from_epoch(int(tick)), path.stat().st_size))
        except (ValueError, OverflowError, FileNotFoundError):
            continue  # not ours, or just delivered
    return sorted(found, key=lambda entry: entry.number)


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot as bytes that tell when they are damaged."""
    rows = io.BytesIO()
    snapshot.rows.write_ipc(rows, compression="zstd")
    series = {"name": snapshot.series.name, "tags": snapshot.series.tags, "fields": snapshot.series.fields}
    head = orjson.dumps({"version": VERSION, "series": series, "marker": plain(snapshot.marker)})
    body = head + b"\n" + rows.getvalue()
    return _digest(body) + b"\n" + body


def decode(data: bytes) -> Snapshot:
    """The snapshot of `encode`; Damaged says what is wrong."""
    digest, _, body = data.partition(b"\n")
    if digest != _digest(body):
        raise Damaged("its digest is not that of its content")
    head, _, rows = body.partition(b"\n")
    try:
        told = orjson.loads(head)
        if told["version"] != VERSION:
            raise Damaged(f"version {told['version']} is not {VERSION}")
        named = told["series"]
        series = Series(named["name"], tuple(named["tags"]), tuple(named["fields"]))
        marker = _MARKER.validate_python(told["marker"])
        return Snapshot(series, marker, pl.read_ipc(rows))
    except (KeyError, TypeError, ValueError, ValidationError, pl.exceptions.PolarsError) as exc:
        raise Damaged(f"{type(exc).__name__}: {exc}") from exc


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()


def plain(marker: Marker) -> dict[str, Any]:
    """A marker in JSON's types: times as RFC 3339, durations as seconds."""
    values = asdict(marker)
    for field in fields(marker):
        value = values[field.name]
        if isinstance(value, timedelta):
            values[field.name] = value.total_seconds()
        elif isinstance(value, datetime):
            values[field.name] = isoformat(value)
    return values


def write_whole(path: Path, body: bytes) -> None:
    """All of the file or nothing of it, on disk when this returns."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
