"""A snapshot as a file, with a digest: what the spool and the backup write."""

import hashlib
import io
import os
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from pydantic import TypeAdapter, ValidationError

from lib.clock import isoformat
from lib.schema import OWN, Series
from lib.snapshot import Marker, Snapshot

ENDING = ".snapshot"


PART = ".part"


VERSION = 1


_MARKER = TypeAdapter(Marker)


class Damaged(Exception):
    """A spool file that is not what was written."""


def write_whole(path: Path, body: bytes) -> None:
    """All of the file or nothing of it, on disk when this returns."""
    part = path.with_name(path.name + PART)
    try:
        with part.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # the half of it would keep a full disk full
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def encode(snapshot: Snapshot) -> bytes:
    """A snapshot as bytes that tell when they are damaged."""
    rows = io.BytesIO()
    snapshot.rows.write_ipc(rows, compression="zstd")
    series = {"name": snapshot.series.name, "tags": snapshot.series.tags, "fields": snapshot.series.fields}
    head = orjson.dumps({"version": VERSION, "series": series, "marker": plain(snapshot.marker)})
    body = head + b"\n" + rows.getvalue()
    return _digest(body) + b"\n" + body


def decode(data: bytes) -> Snapshot:
    """The snapshot of `encode`, in its series' columns of today; Damaged says what is wrong."""
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
        return _whole(Snapshot(series, marker, pl.read_ipc(rows)))
    except (KeyError, TypeError, ValueError, ValidationError, pl.exceptions.PolarsError) as exc:
        raise Damaged(f"{type(exc).__name__}: {exc}") from exc


def _whole(snapshot: Snapshot) -> Snapshot:
    """With every column its series has by now: null in those it did not have when the file was written."""
    series = OWN.get(snapshot.series.name, snapshot.series)
    if not snapshot.series.columns.keys() < series.columns.keys():
        return snapshot
    lacking = [pl.lit(None, kind).alias(n) for n, kind in series.columns.items() if n not in snapshot.rows.columns]
    return Snapshot(series, snapshot.marker, snapshot.rows.with_columns(lacking).select(*series.columns))


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
