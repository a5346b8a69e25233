"""What the archive answers of the questions that a store is asked. All ticks it is asked for are of sealed days."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Unpack

import polars as pl

from lib.archive import tables
from lib.archive.hourly import hourly_table
from lib.archive.light_markers import LightMarkers
from lib.archive.marker_frames import Changes, MarkerFrames
from lib.archive.parts import TICKS_IN_GROUP
from lib.archive.read_ahead import ReadAhead
from lib.archive.reader import ArchiveReader, between, in_steps
from lib.archive.sealed_months import SealedMonths, split
from lib.archive.selected_rows import among, at_ticks, by_tick, selected
from lib.archive.stored_ticks import BLANK, of_series, stored_ticks, visible
from lib.archive.tables import TICK, with_withdrawals
from lib.clock import MINUTE, near_runs
from lib.errors import StoreMalformed
from lib.ingest.missed import MissedTick
from lib.schema import ID, PRICE, Series
from lib.snapshot import Marker, StoredTick, visible_at
from lib.store import Selection, View, WantedTicks, merged_names
from lib.times import TIME, times

ROW_GROUP = TICKS_IN_GROUP * MINUTE
"""Ticks further apart are read alone: between them a reader would pass a row group."""
DAYS_OF_NAMES = 30
"""So many days' names are read at once: two lists of each."""
_MARKER_BYTES = 1000
"""About what a marker takes without its ids."""


class SealedStore:
    """The reading methods of `Store`, over an archive."""

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._ahead = ReadAhead(reader.clock)
        light = LightMarkers(reader)
        self._months = SealedMonths(reader, light)
        self._markers = MarkerFrames(reader, self._months, light)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        known_at = view.get("known_at")
        if view.get("resolution") == "1h":
            columns = tables.MARKER_COLUMNS
            frame, changes = await self._markers.hours(start, stop, series, known_at=known_at, select=[*columns])
            return _with_withdrawals(frame.select(*columns), changes)
        block = await self._ahead.block(tables.MARKERS, start, stop, self._all_markers)
        if block is None:
            block, _ = await self._all_markers(start, stop)
        some = [marker for marker in block if start <= marker.tick <= stop and series in (None, marker.series)]
        return visible_at(some, known_at)

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        known_at = view.get("known_at")
        if view.get("resolution") == "1h":
            frame, changes = await self._markers.hours(start, stop, series, known_at=known_at)
        else:
            frame, changes = await self._markers.near(series, start, stop, None)
            frame = visible(frame, known_at)
        withdrawn = _withdrawn(series, changes, known_at)
        return [tick for tick in frame[TICK].to_list() if tick not in withdrawn]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        if wanted.get("resolution") == "1h":
            frame, changes = await self._markers.hours(start, stop, series)
        else:
            frame, changes = await self._markers.near(series, start, stop, wanted.get("near"))
        return stored_ticks(series, frame, changes, known=wanted.get("known", False))

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        return await self._marker(series, await self._days_before(at), pl.col(TICK) <= pl.lit(at, TIME), place=-1)

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        return await self._marker(series, await self._reader.days(), pl.lit(True), place=0)

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        shown = series.only(selection.get("fields"))
        found = dict.fromkeys(ticks, shown.empty())
        if not shown.fields or not ticks:
            return found
        if len({*ticks}) == 1:
            tick = next(iter(ticks))
            return found | {tick: await self._rows_of_tick(shown, tick, **selection)}
        where, columns, wanted = selected(shown, **selection), tables.series_columns(shown), sorted({*ticks})
        alone = [run[0] for run in near_runs(wanted, ROW_GROUP) if len(run) == 1]
        hours, others = await self._hour_rows(shown, alone, where)
        rest = sorted({*wanted} - {*alone} | {*others})
        parts = [
            await self._reader.read_ticks(series.name, run[0], run[-1], columns, [*columns], where)
            for run in near_runs(rest, ROW_GROUP)
        ]
        if parts:  # they may have some of the hours too
            hours = at_ticks(hours, alone)
        rows = await asyncio.to_thread(by_tick, shown, pl.concat([hours, *parts]))
        return found | {tick: rows[tick] for tick in found if tick in rows}

    async def history(self, series: Series, cmc_id: int, ticks: Collection[datetime]) -> pl.DataFrame:
        """See `Store.history`."""
        wanted = sorted({*ticks})
        if not wanted or not series.fields:
            return pl.DataFrame(schema=tables.series_columns(series))
        where = selected(series, ids=[cmc_id])
        months, others = await self._months.rows(series, wanted, where)
        hours, others = await self._hour_rows(series, others, where)
        rows = pl.concat([months, hours, await self._rows(series, others, where)])
        return at_ticks(rows, wanted).sort(TICK)

    async def asset_names(self, start: datetime, stop: datetime) -> pl.DataFrame:
        """The names in the first and the last prices of each day, whose times are exact to the day."""
        frame, _ = await self._markers.near(PRICE.name, start, stop, None)
        ticks = frame.group_by(pl.col(TICK).dt.date().alias("day"))
        days = ticks.agg(pl.col(TICK).min().alias("first"), pl.col(TICK).max().alias("last")).sort("day")
        parts = [await self._names(part) for part in days.iter_slices(DAYS_OF_NAMES)]
        return merged_names(parts)

    async def _names(self, days: pl.DataFrame) -> pl.DataFrame:
        where = pl.col(TICK).is_in(pl.concat([days["first"], days["last"]]).cast(TIME).implode())
        wanted = [ID, *PRICE.tags, TICK]
        rows = await self._reader.read(PRICE.name, days["day"].to_list(), tables.series_columns(PRICE), where, wanted)
        return merged_names([rows.with_columns(pl.col(TICK).alias("first"), pl.col(TICK).alias("last"))])

    async def missed(self, series: str, start: datetime, stop: datetime) -> list[MissedTick]:
        """The missing ticks whose cause was recorded."""
        days = await self._reader.days_between(start, stop)
        where = of_series(series) & between(start, stop)
        return tables.missed_of(await self._reader.read(tables.GAPS, days, tables.GAP_COLUMNS, where))

    async def _all_markers(self, start: datetime, stop: datetime) -> tuple[list[Marker], int]:
        columns = tables.MARKER_COLUMNS
        frame = await self._reader.read_ticks(tables.MARKERS, start, stop, columns, [*columns])
        changes = await self._reader.withdrawals(await self._reader.days_between(start, stop)) if len(frame) else {}
        markers = _with_withdrawals(frame, changes)
        return markers, sum(_MARKER_BYTES + len(marker.ids) for marker in markers)

    async def _rows_of_tick(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """The selected rows of a tick. For ticks that follow each other, the rows around them are read at once."""

        async def read(start: datetime, stop: datetime) -> tuple[dict[datetime, pl.DataFrame], int]:
            columns = tables.series_columns(series)
            frame = await self._reader.read_ticks(series.name, start, stop, columns, [*columns])
            return await asyncio.to_thread(by_tick, series, frame), int(frame.estimated_size())

        block = await self._ahead.block((series.name, series.fields), tick, tick, read)
        if block is None:
            # All of the tick: most callers soon ask for more of it.
            block = await self._ahead.span((series.name, series.fields, tick), tick, tick, read)
        return among(block.get(tick, series.empty()), **selection)

    async def _hour_rows(
        self, series: Series, ticks: Sequence[datetime], where: pl.Expr
    ) -> tuple[pl.DataFrame, Sequence[datetime]]:
        """The rows of those of the ticks that the days' side tables of hours have, and of their other hours.

        Also returns the other ticks. To leave out hours takes longer than to read them.
        """
        sealed = await self._reader.sealed(tick.date() for tick in ticks)
        hours = set[int]().union(*(day.hours(series.name) for day in sealed))
        own, others = split(ticks, hours, {each.day for each in sealed})
        days, columns = {tick.date() for tick in own}, tables.series_columns(series)
        try:
            return await self._reader.read(hourly_table(series.name), days, columns, where), others
        except StoreMalformed:  # the side table is damaged, and the minutes have the same rows
            return pl.DataFrame(schema=columns), ticks

    async def _rows(self, series: Series, ticks: Sequence[datetime], selected: pl.Expr) -> pl.DataFrame:
        """Rows from the table of the series."""
        if not ticks:
            return pl.DataFrame(schema=tables.series_columns(series))
        where = between(ticks[0], ticks[-1]) & pl.col(TICK).is_in(times(ticks).implode())
        days = sorted({tick.date() for tick in ticks})
        return await self._reader.read(series.name, days, tables.series_columns(series), where & selected)

    async def _marker(self, series: str, days: Sequence[date], where: pl.Expr, *, place: int) -> Marker | None:
        """The marker at a place among those of the first days that have any."""
        for some in in_steps(days):
            frame = await self._markers.light(some, of_series(series) & where)
            if len(frame):
                tick = frame[TICK][place]
                block = await self._ahead.span((tables.MARKERS, tick, tick), tick, tick, self._all_markers)
                return next(marker for marker in block if marker.series == series)
        return None

    async def _days_before(self, at: datetime) -> list[date]:
        return [day for day in reversed(await self._reader.days()) if day <= at.date()]


def _with_withdrawals(frame: pl.DataFrame, changes: Changes) -> list[Marker]:
    """Markers by tick and series, with their withdrawals."""
    markers = sorted(tables.markers_of(frame), key=lambda marker: (marker.tick, marker.series))
    return [with_withdrawals(marker, changes.get((marker.series, marker.tick), ())) for marker in markers]


def _withdrawn(series: str, changes: Changes, known_at: datetime | None) -> frozenset[datetime]:
    """The ticks of a series that do not answer at an instant, by default now."""
    return frozenset(
        tick
        for (name, tick), some in changes.items()
        if name == series and with_withdrawals(replace(BLANK, tick=tick), some).is_withdrawn(known_at)
    )
