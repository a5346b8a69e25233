"""Backup and restore through the `Store` protocol: whole snapshots as files, checked on the way back.

One folder a day, one file a snapshot in the spool's own form. The same backup goes into either store, so it also
moves an archive from one to the other.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import orjson

from lib.clock import Clock, slot
from lib.errors import StoreMalformed
from lib.schema import Series
from lib.snapshot import Snapshot, content_hash
from lib.spool import ENDING, decode, encode, plain, write_whole
from lib.store import Store

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """What one day of one series holds: snapshots, their rows, and a checksum over all of it."""

    day: date
    series: str
    snapshots: int
    rows: int
    checksum: str


async def back_up(
    store: Store, series: Sequence[Series], folder: Path, *, clock: Clock, start: datetime | None = None
) -> AsyncIterator[Day]:
    """Write every snapshot from `start`, by default the first, to files; yields each day of each series when done.

    A file that is there already is left: an interrupted backup goes on where it was.
    """
    for one in series:
        first = await store.first(one.name)
        if first is None:
            continue
        at = slot(max(first.tick, start or first.tick), DAY)
        while at <= clock():
            kept = []
            async for snapshot in _stored(store, one, at):
                path = _path(folder, snapshot)
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    await asyncio.to_thread(write_whole, path, encode(snapshot))
                kept.append(snapshot)
            if kept:
                yield _day(at, one.name, kept)
            at += DAY


async def restore(folder: Path, store: Store) -> AsyncIterator[Day]:
    """Write a backup's snapshots into a store, oldest first, and read each day back.

    Yields each day of each series, as it then was, once the store holds it; StoreMalformed when it does not hold
    the same, and Damaged for a file that is not what was written. Running it again changes nothing.
    """
    for at, paths in _days(folder):
        snapshots = []
        for path in paths:
            snapshot = decode(await asyncio.to_thread(path.read_bytes))
            await store.write(snapshot)
            snapshots.append(snapshot)
        for one in dict.fromkeys(snapshot.series for snapshot in snapshots):
            ticks = {snapshot.tick for snapshot in snapshots if snapshot.series == one}
            written = _day(at, one.name, [snapshot for snapshot in snapshots if snapshot.series == one])
            held = _day(at, one.name, [back async for back in _stored(store, one, at) if back.tick in ticks])
            if held != written:
                raise StoreMalformed(
                    f"{one.name} of {written.day}: {written.snapshots} snapshots with {written.rows} rows were written,"
                    f" {held.snapshots} with {held.rows} came back, checksum {held.checksum} for {written.checksum}"
                )
            yield held


async def _stored(store: Store, series: Series, at: datetime) -> AsyncIterator[Snapshot]:
    """The snapshots of one day: every minute still kept, and the first of each hour before that."""
    stop = at + DAY - timedelta(seconds=1)
    horizon = store.horizon()
    raw = await store.markers(max(at, horizon), stop, series=series.name) if stop >= horizon else []
    old = await store.markers(at, min(stop, horizon), series=series.name, resolution="1h") if at < horizon else []
    seen = {marker.tick for marker in raw}
    for marker in (marker for marker in old if marker.tick not in seen):
        yield Snapshot(series, marker, await store.rows(series, marker.tick, resolution="1h"))
    for marker in raw:
        yield Snapshot(series, marker, await store.rows(series, marker.tick))


def _day(at: datetime, series: str, snapshots: Sequence[Snapshot]) -> Day:
    total = hashlib.blake2b(digest_size=16)
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.tick):
        total.update(orjson.dumps(plain(snapshot.marker)))
        total.update(content_hash(series, snapshot.marker.source, snapshot.tick, snapshot.rows).encode())
    rows = sum(len(snapshot.rows) for snapshot in snapshots)
    return Day(at.date(), series, len(snapshots), rows, total.hexdigest())


def _path(folder: Path, snapshot: Snapshot) -> Path:
    tick = snapshot.tick
    return folder / f"{tick:%Y-%m-%d}" / f"{snapshot.series.name}-{int(tick.timestamp())}{ENDING}"


def _days(folder: Path) -> Iterator[tuple[datetime, list[Path]]]:
    for day in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield datetime.fromisoformat(f"{day.name}T00:00:00+00:00"), sorted(day.glob(f"*{ENDING}"))
