"""Sealing a closed month: the hours of its days, by asset, in one part for each series, and one for their markers."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import structlog

from lib.archive import tables
from lib.archive.additions import read_withdrawals
from lib.archive.hourly import firsts_of, hourly_table
from lib.archive.manifest import Manifest, Part, newest_manifest
from lib.archive.months import (
    MANIFESTS,
    Month,
    first_of_month,
    last_of_month,
    month_manifest,
    month_part,
    month_table,
)
from lib.archive.objects import Objects, is_stored, scan_parts
from lib.archive.parts import describe_part, naming, sound_part, write_part
from lib.archive.stored_ticks import firsts_of_hours
from lib.archive.tables import TICK
from lib.clock import DAY
from lib.errors import StoreMalformed
from lib.schema import ID, Series
from lib.times import microseconds_of

log = structlog.get_logger()

SETTLED = 2 * DAY
"""A month is sealed so long after its end: most of what comes late is in its days by then."""
ROWS_IN_GROUP = 24_000
"""A row group: the month of about 30 assets."""
ASSETS_READ = 150
"""So many assets' months are in memory at once."""
MARKERS_IN_GROUP = 240

Ticks = dict[str, set[int]]


class MonthSealer:
    """Seals the closed months of an archive. Like days, any number of sealers may do it at once."""

    def __init__(self, objects: Objects, series: Sequence[Series]) -> None:
        self._objects = objects
        self._series = series
        self._failed: dict[date, date] = {}

    async def catch_up(self, sealed: Iterable[date], today: date) -> list[date]:
        """Seal each month that is over and all of whose days are sealed. Returns the new ones by their first days.

        A month with a damaged day waits until that is mended: it is tried once a day.
        """
        done = set(await self._objects.names(MANIFESTS))
        months: dict[date, list[date]] = {}
        for day in sorted(sealed):
            months.setdefault(first_of_month(day), []).append(day)
        added = []
        for month, days in months.items():
            is_whole = days[-1] == last_of_month(month) and days[-1] - days[0] == (len(days) - 1) * DAY
            is_due = is_whole and days[-1] + SETTLED < today and self._failed.get(month) != today
            if month_manifest(month) not in done and is_due and await self._is_sealed(month, days, today):
                added.append(month)
        return added

    async def _is_sealed(self, month: date, days: Sequence[date], today: date) -> bool:
        try:
            await self.seal(month, days)
        except StoreMalformed as exc:
            if month not in self._failed:
                log.error("a month can't be sealed", month=f"{month:%Y-%m}", why=str(exc))
            self._failed[month] = today
            return False
        return True

    async def seal(self, month: date, days: Sequence[date]) -> None:
        """Seal a month with these days. Its manifest is written when every part is read back as it was made."""
        manifests = [manifest for day in days if (manifest := await newest_manifest(self._objects, day))]
        with self._objects.workspace() as folder:
            attempt = _Attempt(self._objects, month, manifests, folder)
            for series in self._series:
                await attempt.add_rows(series)
            await attempt.add_markers()
            changes = [await read_withdrawals(self._objects, manifest) for manifest in manifests]
            await attempt.check()
        sealed = Month(
            month=month,
            days=attempt.whole_days(),
            ticks={name: sorted(ticks) for name, ticks in attempt.ticks.items()},
            withdrawals=[change for each in changes for some in each.values() for change in some],
            parts=attempt.parts,
        )
        if await self._objects.create(month_manifest(month), sealed.model_dump_json().encode()):
            log.info("month sealed", month=f"{month:%Y-%m}", days=len(sealed.days))


class _Attempt:
    """One attempt to seal a month, with what is in the archive afterwards."""

    def __init__(self, objects: Objects, month: date, manifests: Sequence[Manifest], folder: Path) -> None:
        self._objects = objects
        self._month = month
        self._manifests = manifests
        self._folder = folder
        self._marked: Ticks = {}
        self.ticks: Ticks = {}
        self.parts: list[Part] = []

    async def add_rows(self, series: Series) -> None:
        """Add the part of a series: the rows of the days' side tables of hours, by asset, then tick."""
        columns = tables.series_columns(series)
        paths = await self._local(hourly_table(series.name))
        path = await self._add(series.name, columns, _by_asset(paths, columns), ROWS_IN_GROUP)
        with naming(self._objects, month_part(series.name, self._month)):
            self.ticks[series.name] = _seconds(await asyncio.to_thread(_read, path, [TICK]))

    async def add_markers(self) -> None:
        """Add the markers of the hours."""
        paths = await self._local(tables.MARKERS)
        path = await self._add(tables.MARKERS, tables.MARKER_COLUMNS, _first_markers(paths), MARKERS_IN_GROUP)
        with naming(self._objects, month_part(tables.MARKERS, self._month)):
            frame = await asyncio.to_thread(_read, path, ["series", TICK])
        self._marked = {str(name): _seconds(own) for (name,), own in frame.partition_by("series", as_dict=True).items()}

    async def check(self) -> None:
        """Raise StoreMalformed unless the archive has each part as it was made."""
        for part in self.parts:
            if await sound_part(self._objects, part, self._folder) is None:
                raise StoreMalformed(f"archive {self._objects.shown}: {part.name} is not what was written")

    def whole_days(self) -> dict[date, int]:
        """The days of which the parts have every marker of an hour, and its rows unless the series is another's."""
        days = {}
        for manifest in self._manifests:
            own = {name: firsts_of(np.array(each.ticks)) for name, each in manifest.snapshots.items()}
            if all(ticks <= self._marked.get(name, set()) & self.ticks.get(name, ticks) for name, ticks in own.items()):
                days[manifest.day] = manifest.number
        return days

    async def _local(self, table: str) -> list[Path]:
        """Local files of the days' parts of a table that are as they were sealed."""
        paths = []
        for part in [part for manifest in self._manifests for part in manifest.parts if part.table == table]:
            path = await sound_part(self._objects, part, self._folder)
            if path is None:
                raise StoreMalformed(f"archive {self._objects.shown}: {part.name} is damaged")
            paths.append(path)
        return paths

    async def _add(
        self, table: str, columns: Mapping[str, Any], frames: Iterator[pl.DataFrame], rows_in_group: int
    ) -> Path:
        """Store a part, and return the file that was made. A part that is there already stays if it is the same."""
        name, made = month_part(table, self._month), self._folder / f"{table}.parquet"
        await asyncio.to_thread(write_part, made, columns, frames, rows_in_group=rows_in_group)
        part = await asyncio.to_thread(describe_part, made, name, month_table(table))
        if not await self._objects.create(name, made) and await sound_part(self._objects, part, self._folder) is None:
            await self._replace(name, made)
        self.parts.append(part)
        return made

    async def _replace(self, name: str, made: Path) -> None:
        """Replace a part that no manifest names: it is damaged, or lacks what came late to a day."""
        if await is_stored(self._objects, month_manifest(self._month)):
            raise StoreMalformed(f"archive {self._objects.shown}: {name}: another archiver has sealed this month")
        log.warning("a part of a month is made again", part=name)
        await self._objects.delete(name)
        await self._objects.create(name, made)


def _by_asset(paths: Sequence[Path], columns: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    if not paths:
        return
    scan = scan_parts(paths, columns)
    ids = scan.select(pl.col(ID).unique().sort()).collect()[ID]
    for some in (ids.slice(at, ASSETS_READ) for at in range(0, len(ids), ASSETS_READ)):
        yield scan.filter(pl.col(ID).is_between(some[0], some[-1])).collect().sort(ID, TICK)


def _first_markers(paths: Sequence[Path]) -> Iterator[pl.DataFrame]:
    """The first marker of each series and hour. Of each part its own firsts are enough to choose from."""
    firsts = [firsts_of_hours(pl.read_parquet(path, hive_partitioning=False)) for path in paths]
    if firsts:
        yield firsts_of_hours(pl.concat(firsts).sort(TICK, "series")).select(*tables.MARKER_COLUMNS)


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    return pl.read_parquet(path, columns=columns, hive_partitioning=False)


def _seconds(ticks: pl.DataFrame) -> set[int]:
    return {*np.unique(microseconds_of(ticks[TICK]) // 1_000_000).tolist()}
