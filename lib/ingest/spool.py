"""Between gate and store: a snapshot is on disk before it counts as fetched, and leaves only when the store has it.

One folder per series. At any moment, over restarts and crashes: fetched = stored + spooled + dropped.
The contract is docs/delivery.md.
"""

import errno
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import structlog
from pydantic import BaseModel, Field, ValidationError

from lib.clock import from_epoch
from lib.errors import SettingsRejected, SpoolUnavailable
from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, PART, Damaged, decode, encode, write_whole

log = structlog.get_logger()

ASIDE = "damaged"
COUNTS = "counts.json"
MOST_ASIDE = 100
"""So many of the snapshots set aside are kept."""
UNREADABLE = (errno.EIO, errno.EISDIR, errno.EUCLEAN)
"""A file that fails so will fail again; any other failure is the machine's, and passes."""


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


Lost = Callable[[datetime, str], None]
"""Told of each snapshot that was fetched and will never be stored: its tick, and why."""

Write = Callable[[Path, bytes], None]
"""Puts a file on disk: all of it or nothing, for sure when it returns."""


class _Kept(BaseModel):
    """What counts.json says. `leaving` are counted as dropped already, should their files still be there."""

    fetched: int = Field(default=0, ge=0)
    dropped: int = Field(default=0, ge=0)
    leaving: tuple[int, ...] = ()


class Spool:
    """The spool of one series. Bounded: what no longer fits falls out, oldest first, counted and logged.

    Each method may raise SpoolUnavailable: the disk does not do what it must.
    """

    def __init__(
        self, folder: Path, *, limit: int, lost: Lost = lambda tick, why: None, write: Write = write_whole
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._lost = lost
        self._write = write
        self._lock: BinaryIO | None = None

    def open(self) -> None:
        """Take the folder for this process alone and finish what a crash left; SettingsRejected when another has it."""
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
        with (
            suppress(SpoolUnavailable),
            self._guarded(),
        ):  # a full disk is no reason not to start: what waits must leave
            for unfinished in self._folder.glob(f"*{PART}"):
                unfinished.unlink()
            self._settle()

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock:
            self._lock.close()

    def put(self, snapshot: Snapshot) -> None:
        """Put a snapshot on disk, atomically and for sure."""
        body = encode(snapshot)
        if len(body) > self._limit:
            raise SpoolUnavailable(f"spool {self._folder}: a snapshot of {len(body)} bytes is over its limit")
        with self._guarded():
            self._make_room(len(body))
            counts = counted(self._folder)
            number = counts.fetched + 1
            name = f"{number:012d}-{int(snapshot.tick.timestamp())}{ENDING}"
            self._write(self._folder / name, body)
        with suppress(SpoolUnavailable), self._guarded():  # it is on disk; `confirm` sees that it is counted
            self._count(number, counts.dropped)

    def read(self) -> Iterator[tuple[Entry, Snapshot]]:
        """The snapshots on disk, in the order they were fetched. Damaged ones are set aside, and count as dropped."""
        for entry in waiting(self._folder):
            try:
                yield entry, decode(entry.path.read_bytes())
            except Damaged as exc:
                self.set_aside(entry, str(exc))
            except OSError as exc:
                if exc.errno not in UNREADABLE:
                    raise SpoolUnavailable(f"spool {self._folder}: {entry.path.name}: {exc.strerror}") from exc
                self.set_aside(entry, str(exc.strerror))

    def newest(self) -> Snapshot | None:
        """The last of the snapshots on disk; None where there is none that can be read."""
        for entry in reversed(waiting(self._folder)):
            with suppress(Damaged, OSError):
                return decode(entry.path.read_bytes())
        return None

    def confirm(self, entry: Entry) -> None:
        """The store has this one: it leaves, once it is sure to be counted."""
        with self._guarded():
            if _kept(self._folder).fetched < entry.number:
                self._settle()
            entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> None:
        """This one can't be delivered, now or later: keep it for a person, and count it as dropped."""
        log.error("snapshot set aside", file=entry.path.name, tick=entry.tick, why=why)
        self._lost(entry.tick, f"set aside: {why}")
        with self._guarded():
            counts = counted(self._folder)
            self._count(counts.fetched, counts.dropped + 1, leaving=(entry.number,))
            self._move_aside(entry)

    def counts(self) -> Counts:
        """What became of this series' snapshots."""
        return counted(self._folder)

    def _make_room(self, size: int) -> None:
        held = waiting(self._folder)
        over = sum(entry.size for entry in held) + size - self._limit
        leaving = []
        for entry in held:
            if over <= 0:
                break
            over -= entry.size
            leaving.append(entry)
        if not leaving:
            return
        for entry in leaving:
            log.error("snapshot dropped: the spool is full", tick=entry.tick, limit=self._limit)
            self._lost(entry.tick, f"dropped: the spool's {self._limit} bytes were full")
        counts = counted(self._folder)
        numbers = tuple(entry.number for entry in leaving)
        self._count(counts.fetched, counts.dropped + len(leaving), leaving=numbers)
        for entry in leaving:
            entry.path.unlink()

    def _settle(self) -> None:
        """Make the counts say what the files say, and what is leaving leave."""
        kept = _kept(self._folder)
        for entry in entries(self._folder):
            if entry.number in kept.leaving:
                self._move_aside(entry)
        counts = counted(self._folder)
        if counts.fetched != kept.fetched or kept.leaving:
            self._count(counts.fetched, counts.dropped)

    def _move_aside(self, entry: Entry) -> None:
        aside = self._folder / ASIDE
        entry.path.rename(aside / entry.path.name)
        for oldest in sorted(path for path in aside.iterdir() if path.is_file())[:-MOST_ASIDE]:
            oldest.unlink()

    def _count(self, fetched: int, dropped: int, *, leaving: tuple[int, ...] = ()) -> None:
        kept = _Kept(fetched=fetched, dropped=dropped, leaving=leaving)
        self._write(self._folder / COUNTS, kept.model_dump_json().encode())

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise SpoolUnavailable(f"spool {self._folder}: {exc.strerror}") from exc


def counted(folder: Path) -> Counts:
    """The counts of a spool's folder, also for who only reads it. A crash between two steps is seen through."""
    kept = _kept(folder)
    held = [entry for entry in entries(folder) if entry.number not in kept.leaving]
    return Counts(
        fetched=max([kept.fetched, *(entry.number for entry in held)]),
        dropped=kept.dropped,
        spooled=len(held),
        spooled_bytes=sum(entry.size for entry in held),
    )


def waiting(folder: Path) -> list[Entry]:
    """The snapshots that wait in a folder for the store, in the order they were fetched."""
    leaving = _kept(folder).leaving
    return [entry for entry in entries(folder) if entry.number not in leaving]


def entries(folder: Path) -> list[Entry]:
    """The snapshot files of a folder, in the order they were fetched."""
    found = []
    for path in folder.glob(f"*{ENDING}"):
        number, _, tick = path.name.removesuffix(ENDING).partition("-")
        try:
            found.append(Entry(path, int(number), from_epoch(int(tick)), path.stat().st_size))
        except (ValueError, OverflowError, OSError):
            continue  # not ours, or just delivered
    return sorted(found, key=lambda entry: entry.number)


def _kept(folder: Path) -> _Kept:
    try:
        return _Kept.model_validate_json((folder / COUNTS).read_bytes())
    except FileNotFoundError:
        return _Kept()
    except (OSError, ValidationError):  # as far as the files tell
        aside = [entry.number for entry in entries(folder / ASIDE)]
        return _Kept(fetched=max(aside, default=0), dropped=len(aside))
