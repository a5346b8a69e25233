"""`topcoins restore`: a backup's snapshots go back into a store, and its closed days into the archive."""

import asyncio
from collections.abc import AsyncIterator, Container
from datetime import date, datetime
from functools import partial
from pathlib import Path

import polars as pl

from lib.archive import tables
from lib.archive.additions import read_withdrawals
from lib.archive.backup import UNSEALED, Day, checksum, copy_day, report_damaged
from lib.archive.manifest import FOLDER, sealed_days, start_of
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.archive.parts import read_frames, series_of
from lib.archive.tables import TICK, with_withdrawals
from lib.archive.verify import Verified, verify_day
from lib.clock import DAY, HOUR, SECOND, Clock, slot
from lib.errors import SettingsRejected, StoreMalformed
from lib.instants import refuse_future
from lib.schema import ID, Series
from lib.snapshot import Marker, Snapshot, content_hash
from lib.snapshot_file import ENDING, DamagedFile, as_json, decode
from lib.store import RESOLUTIONS, Store

Snapshots = AsyncIterator[tuple[Path, Snapshot]]
"""Snapshots with the file that has each, every series oldest first."""
_OLD_DAY = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
"""A day's folder in a backup of a version before 0.2. Others, such as `lost+found`, are no part of it."""


async def restore(folder: Path, store: Store, archive: Objects | None, *, clock: Clock) -> AsyncIterator[Day]:
    """Write a backup's snapshots into a store, oldest day first, and read each day back.

    Sound days that are over and that the archive lacks are copied into it first. Yields each day of each series once
    the store has it. Damaged files are left out; at the end DamagedFile names them. Raises StoreMalformed when the
    store returns something else, and SettingsRejected for a tick of the future. Running it again changes nothing.
    """
    damaged: list[str] = []
    async for day, snapshots in _days(folder, archive, clock, damaged):
        horizon = store.horizon()
        tallies: dict[Series, _Tally] = {}
        async for path, snapshot in snapshots:
            refuse_future(snapshot.tick, clock(), path)
            written = tallies.setdefault(snapshot.series, _Tally(snapshot.series))
            if snapshot.tick < horizon and slot(snapshot.tick, HOUR) in written.hours:
                written.passed += 1
                continue
            await store.write(snapshot)
            written.add(snapshot)
        for series, written in tallies.items():
            stored = await _read_back(store, series, day, written.ticks)
            if stored.ticks != written.ticks:
                raise StoreMalformed(f"{written.describe(day)} were written, {stored.describe(day)} came back")
            yield written.day(day)
    report_damaged(damaged)


async def _days(
    folder: Path, archive: Objects | None, clock: Clock, damaged: list[str]
) -> AsyncIterator[tuple[date, Snapshots]]:
    """The days of a backup, or of one of an earlier version."""
    places = [Folder(place) for place in (folder, folder / UNSEALED) if (place / FOLDER).is_dir()]
    old = _old_days(folder)
    if not places and not old:
        raise SettingsRejected(f"{folder} is not a backup made by topcoins; for example ./backup")
    days = [(day, place) for place in places for day in await sealed_days(place)]
    firsts = dict(reversed(days))
    archived = {*await sealed_days(archive)} if archive else set()
    # Of a day in both places, the one that is not sealed has the newer withdrawals.
    for day, backup in sorted(days, key=lambda each: (each[0], -places.index(each[1]))):
        verified = await verify_day(backup, (), day, folder)
        damaged += [f"{backup.shown}/{fault.name}: {fault.what}" for fault in verified.faults]
        is_sound = firsts[day] is backup and day < clock().date() and not verified.faults
        if archive and is_sound and day not in archived:
            await copy_day(backup, archive, day)
        yield day, _snapshots(backup, verified, folder, damaged)
    for day in old:
        yield day, _old_snapshots(folder, day, damaged)


async def _snapshots(backup: Folder, verified: Verified, folder: Path, damaged: list[str]) -> Snapshots:
    """The snapshots of a day. Those of damaged parts are left out."""
    if verified.manifest is None:
        return
    unsound = {fault.name for fault in verified.faults}
    parts = [part for part in verified.manifest.parts if part.name not in unsound]
    markers: dict[tuple[str, datetime], Marker] = {}
    for part in [part for part in parts if part.table == tables.MARKERS]:
        frame = await asyncio.to_thread(pl.read_parquet, await backup.local(part.name, folder), hive_partitioning=False)
        markers |= {(marker.series, marker.tick): marker for marker in tables.markers_of(frame)}
    changes = await read_withdrawals(backup, verified.manifest.model_copy(update={"parts": parts}))
    for part in [part for part in parts if part.table in verified.manifest.snapshots]:
        path = await backup.local(part.name, folder)
        try:
            series = await asyncio.to_thread(series_of, part.table, path)
        except StoreMalformed as exc:
            damaged.append(str(exc))
            continue
        read_next = partial(next, read_frames(path), None)
        while (frame := await asyncio.to_thread(read_next)) is not None:
            for (tick,), rows in frame.partition_by(TICK, as_dict=True, maintain_order=True).items():
                if isinstance(tick, datetime) and (marker := markers.get((series.name, tick))):
                    marker = with_withdrawals(marker, changes.get((series.name, tick), ()))
                    yield path, Snapshot(series, marker, series.complete(rows).sort(ID))


def _old_days(folder: Path) -> list[date]:
    return [date.fromisoformat(day.name) for day in sorted(folder.glob(_OLD_DAY))]


async def _old_snapshots(folder: Path, day: date, damaged: list[str]) -> Snapshots:
    """The snapshots of a day of an old backup: a file for each, in the spool's form."""
    for path in sorted((folder / str(day)).glob(f"*{ENDING}")):
        try:
            yield path, decode(await asyncio.to_thread(path.read_bytes))
        except DamagedFile as exc:
            damaged.append(f"{path}: {exc}")


class _Tally:
    """Adds up a day of one series without its snapshots: each tick's rows, content and marker."""

    def __init__(self, series: Series) -> None:
        self.passed = 0
        self.ticks: dict[datetime, tuple[int, str, bytes]] = {}
        self.hours: set[datetime] = set()
        self._series = series.name

    def add(self, snapshot: Snapshot) -> None:
        marker = snapshot.marker
        content = content_hash(self._series, marker.source, snapshot.tick, snapshot.rows)
        # A withdrawal after the backup is no difference.
        plain = marker.without_withdrawal()
        self.ticks[snapshot.tick] = len(snapshot.rows), content, as_json(plain)
        self.hours.add(slot(snapshot.tick, HOUR))

    def day(self, day: date) -> Day:
        hashes = {tick: content for tick, (_, content, _) in self.ticks.items()}
        rows = sum(count for count, _, _ in self.ticks.values())
        return Day(day, self._series, len(self.ticks), rows, checksum(hashes), self.passed)

    def describe(self, day: date) -> str:
        each = self.day(day)
        return f"{each.snapshots} {each.series} snapshots of {day} with {each.rows} rows, checksum {each.checksum},"


async def _read_back(store: Store, series: Series, day: date, ticks: Container[datetime]) -> _Tally:
    """The tally of a day's ticks in the store, minutes or hours: the retention's end may just have passed them."""
    tally, start = _Tally(series), start_of(day)
    for resolution in RESOLUTIONS:
        for marker in await store.markers(start, start + DAY - SECOND, series=series.name, resolution=resolution):
            if marker.tick in ticks and marker.tick not in tally.ticks:
                tally.add(Snapshot(series, marker, await store.rows(series, marker.tick, resolution=resolution)))
    return tally
