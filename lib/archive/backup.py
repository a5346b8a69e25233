"""Backup and restore through the `Store` protocol: whole snapshots as files, checked on the way back.

One folder a day, one file a snapshot in the spool's own form. The same backup goes into either store, so it also
moves an archive from one to the other.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import get_args

import orjson

from lib.clock import DAY, HOUR, SECOND, Clock, slot
from lib.errors import SettingsRejected, StoreMalformed
from lib.instants import refuse_future
from lib.schema import Series
from lib.snapshot import Snapshot, content_hash
from lib.snapshot_file import ENDING, DamagedFile, decode, encode, marker_as_json, write_whole
from lib.store import Resolution, Store

DAY_FOLDER = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
"""Other folders, such as `lost+found` or `.snapshot`, are no part of a backup."""
MOST_NAMED = 5
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one series: its snapshots, their rows, and a checksum over all of it.

    `passed` counts the snapshots of a backup that the store's retention no longer keeps: all but the first of an hour.
    """

    day: date
    series: str
    snapshots: int
    rows: int
    checksum: str
    passed: int = field(default=0, compare=False)


async def back_up(
    store: Store, series: Sequence[Series], folder: Path, *, clock: Clock, start: datetime | None = None
) -> AsyncIterator[Day]:
    """Write every snapshot from `start`, by default the first, to files; yields each day of each series when done.

    Existing files stay, unless they are damaged, so an interrupted backup resumes.
    """
    for one in series:
        first = await store.first(one.name)
        if first is None:
            continue
        at = slot(max(first.tick, start or first.tick), DAY)
        while at <= clock():
            tally = _Tally(one)
            async for snapshot in _stored(store, one, at):
                path = _path(folder, snapshot)
                if not await asyncio.to_thread(_is_whole, path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    await asyncio.to_thread(write_whole, path, encode(snapshot))
                tally.add(snapshot)
            if tally.ticks:
                yield tally.day(at)
            at += DAY


async def restore(folder: Path, store: Store, *, clock: Clock) -> AsyncIterator[Day]:
    """Write a backup's snapshots into a store, oldest first, and read each day back.

    Yields each day of each series once the store has it. Damaged files are left out; at the end DamagedFile names them.
    Raises StoreMalformed when the store returns something else, and SettingsRejected for a tick of the future. Running
    it again changes nothing.
    """
    damaged: list[str] = []
    for at, paths in _days(folder):
        horizon = store.horizon()
        tallies: dict[Series, _Tally] = {}
        for path in paths:
            try:
                snapshot = decode(await asyncio.to_thread(path.read_bytes))
            except DamagedFile as exc:
                damaged.append(f"{path}: {exc}")
                continue
            refuse_future(snapshot.tick, clock(), path)
            written = tallies.setdefault(snapshot.series, _Tally(snapshot.series))
            if snapshot.tick < horizon and slot(snapshot.tick, HOUR) in written.hours:
                written.passed += 1
                continue
            await store.write(snapshot)
            written.add(snapshot)
        for one, written in tallies.items():
            stored = await _read_back(store, one, at, written.ticks)
            if stored.day(at) != written.day(at):
                raise StoreMalformed(f"{written.describe(at)} were written, {stored.describe(at)} came back")
            yield written.day(at)
    if damaged:
        raise DamagedFile(f"{len(damaged)} files are damaged and were left out: {'; '.join(damaged[:MOST_NAMED])}")


class _Tally:
    """Adds up a day of one series without keeping its snapshots."""

    def __init__(self, series: Series) -> None:
        self.passed = 0
        self.ticks: dict[datetime, tuple[int, bytes]] = {}
        self.hours: set[datetime] = set()
        self._series = series.name

    def add(self, snapshot: Snapshot) -> None:
        marker = snapshot.marker
        content = content_hash(self._series, marker.source, snapshot.tick, snapshot.rows)
        # A withdrawal after the backup is no difference.
        plain = replace(marker, withdrawn_at=None, restored_at=None, withdrawn_why=None)
        self.ticks[snapshot.tick] = len(snapshot.rows), orjson.dumps(marker_as_json(plain)) + content.encode()
        self.hours.add(slot(snapshot.tick, HOUR))

    def day(self, at: datetime) -> Day:
        total = hashlib.blake2b(digest_size=16)
        for tick in sorted(self.ticks):
            total.update(self.ticks[tick][1])
        rows = sum(count for count, _ in self.ticks.values())
        return Day(at.date(), self._series, len(self.ticks), rows, total.hexdigest(), self.passed)

    def describe(self, at: datetime) -> str:
        day = self.day(at)
        return f"{day.snapshots} {day.series} snapshots of {day.day} with {day.rows} rows, checksum {day.checksum},"


async def _read_back(store: Store, series: Series, at: datetime, ticks: Container[datetime]) -> _Tally:
    """The tally of a day's ticks in the store, minutes or hours: the retention's end may just have passed them."""
    tally = _Tally(series)
    for resolution in RESOLUTIONS:
        for marker in await store.markers(at, at + DAY - SECOND, series=series.name, resolution=resolution):
            if marker.tick in ticks and marker.tick not in tally.ticks:
                tally.add(Snapshot(series, marker, await store.rows(series, marker.tick, resolution=resolution)))
    return tally


async def _stored(store: Store, series: Series, at: datetime) -> AsyncIterator[Snapshot]:
    """The snapshots of one day: every minute still kept, and the first of each hour before that."""
    stop = at + DAY - SECOND
    horizon = store.horizon()
    raw = await store.markers(max(at, horizon), stop, series=series.name) if stop >= horizon else []
    old = await store.markers(at, min(stop, horizon), series=series.name, resolution="1h") if at < horizon else []
    seen = {marker.tick for marker in raw}
    for marker in (marker for marker in old if marker.tick not in seen):
        yield Snapshot(series, marker, await store.rows(series, marker.tick, resolution="1h"))
    for marker in raw:
        yield Snapshot(series, marker, await store.rows(series, marker.tick))


def _path(folder: Path, snapshot: Snapshot) -> Path:
    tick = snapshot.tick
    return folder / f"{tick:%Y-%m-%d}" / f"{snapshot.series.name}-{int(tick.timestamp())}{ENDING}"


def _days(folder: Path) -> Iterator[tuple[datetime, list[Path]]]:
    if not folder.is_dir():
        raise SettingsRejected(f"{folder} is not a backup made by topcoins; for example ./backup")
    for day in sorted(folder.glob(DAY_FOLDER)):
        yield datetime.fromisoformat(f"{day.name}T00:00:00+00:00"), sorted(day.glob(f"*{ENDING}"))


def _is_whole(path: Path) -> bool:
    try:
        decode(path.read_bytes())
    except (FileNotFoundError, DamagedFile):
        return False
    return True
