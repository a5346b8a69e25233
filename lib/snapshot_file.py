"""A snapshot as a file with a digest. The spool writes these."""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import orjson
import polars as pl
from pydantic import TypeAdapter, ValidationError

from lib.errors import DamagedFile as DamagedFile
from lib.schema import NAME, OWN, Series
from lib.snapshot import Marker, Snapshot

ENDING = ".snapshot"
PART = ".part"
VERSION = 1
_MARKER = TypeAdapter(Marker)


class FileCalls(Protocol):
    """The calls of `os` that write a file, so that a test can record their order and make one fail."""

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int: ...  # noqa: D102
    def write(self, file: int, body: memoryview) -> int: ...  # noqa: D102
    def fsync(self, file: int) -> None: ...  # noqa: D102
    def close(self, file: int) -> None: ...  # noqa: D102


class RenameCalls(FileCalls, Protocol):
    """These, and the one that gives a file another name."""

    def rename(self, source: Path, target: Path) -> None: ...  # noqa: D102


def write_whole(path: Path, body: bytes, *, calls: RenameCalls = os) -> None:
    """Write a file, all of it or nothing. It is on disk when this returns, also after a power cut."""
    part = path.with_name(path.name + PART)
    try:
        write_synced(part, body, calls)  # before the rename: else a power cut may leave the name with half the content
        calls.rename(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # half a file would only fill a full disk
        raise
    sync(path.parent, calls)  # else a power cut may take the name


def write_synced(path: Path, body: bytes, calls: FileCalls) -> None:
    """Write a file that nobody reads yet, and have it on disk."""
    with _opened(calls, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
        rest = memoryview(body)
        while rest:
            rest = rest[calls.write(file, rest) :]
        calls.fsync(file)


def sync(path: Path, calls: FileCalls) -> None:
    """Have a file's content, or a folder's names, on disk."""
    with _opened(calls, path, os.O_RDONLY) as file:
        calls.fsync(file)


@contextmanager
def _opened(calls: FileCalls, path: Path, flags: int) -> Iterator[int]:
    file = calls.open(path, flags)
    try:
        yield file
    finally:
        calls.close(file)


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot as bytes with a digest, by which `decode` detects damage."""
    rows = io.BytesIO()
    snapshot.rows.write_ipc(rows, compression="zstd")
    series = {"name": snapshot.series.name, "tags": snapshot.series.tags, "fields": snapshot.series.fields}
    head = as_json({"version": VERSION, "series": series, "marker": snapshot.marker})
    body = head + b"\n" + rows.getvalue()
    return _digest(body) + b"\n" + body


def decode(data: bytes) -> Snapshot:
    """The snapshot that `encode` wrote, with its series' columns of today. Raises DamagedFile with the reason."""
    digest, _, body = data.partition(b"\n")
    if digest != _digest(body):
        raise DamagedFile("the digest does not match the content")
    header, _, rows = body.partition(b"\n")
    try:
        head = orjson.loads(header)
        if head["version"] != VERSION:
            raise DamagedFile(f"version {head['version']} is not {VERSION}")
        written = head["series"]
        series = Series(written["name"], tuple(written["tags"]), tuple(written["fields"]))
        for name in (series.name, *series.tags, *series.fields):
            if not NAME.fullmatch(name):  # names become part of the stores' statements
                raise DamagedFile(f"{name!r} is no name of a series, tag or field; for example volume_rank")
        marker = _MARKER.validate_python(head["marker"])
        return _with_all_columns(Snapshot(series, marker, pl.read_ipc(rows)))
    except (KeyError, TypeError, ValueError, ValidationError, pl.exceptions.PolarsError) as exc:
        raise DamagedFile(f"{type(exc).__name__}: {exc}") from exc


def _with_all_columns(snapshot: Snapshot) -> Snapshot:
    """A copy with the columns that its series has today; null in those the file lacks."""
    series = OWN.get(snapshot.series.name, snapshot.series)
    if not snapshot.series.columns.keys() < series.columns.keys():
        return snapshot
    return Snapshot(series, snapshot.marker, series.complete(snapshot.rows))


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).hexdigest().encode()


def as_json(value: Marker | Mapping[str, object]) -> bytes:
    """A marker, or a mapping with one, as JSON: times as RFC 3339, durations as seconds."""
    return orjson.dumps(value, default=timedelta.total_seconds, option=orjson.OPT_UTC_Z)
