"""What the archive answers of the questions that a store is asked. All ticks it is asked for are of sealed days."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Unpack

import polars as pl

from lib.archive import tables
from lib.archive.hourly import hourly_table
from lib.archive.parts import TICKS_IN_GROUP
from lib.archive.read_ahead import ReadAhead
from lib.archive.reader import ArchiveReader, between, in_steps
from lib.archive.selected_rows import among, by_tick, selected
from lib.archive.stored_ticks import BLANK, VISIBLE, changed, firsts_of_hours, near_steps, of_series, visible
from lib.archive.tables import TICK, with_withdrawals
from lib.clock import MINUTE, near_runs
from lib.errors import StoreMalformed
from lib.ingest.missed import MissedTick
from lib.schema import ID, PRICE, Series
from lib.snapshot import Marker, StoredTick, first_of_hours, visible_at
from lib.store import Selection, View, WantedTicks
from lib.store.asset_names import merged_names

_LIGHT = ("series", TICK, "interval_s", "backfilled", "observed_at", "duration_s", "stored_at")
"""A marker's columns without what costs most to read."""
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

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        known_at = view.get("known_at")
        if view.get("resolution") == "1h":  # the ids of all other markers need not be read
            light = await self._light(start, stop, series)
            firsts = pl.col(TICK).is_in(firsts_of_hours(visible(light, known_at))[TICK].implode())
            days, where = await self._days(start, stop), of_series(series) & between(start, stop) & firsts
            frame = await self._reader.read(tables.MARKERS, days, tables.MARKER_COLUMNS, where)
            return first_of_hours(visible_at(await self._with_withdrawals(frame, days), known_at))
        block = await self._ahead.block(tables.MARKERS, start, stop, self._all_markers)
        if block is None:
            block, _ = await self._all_markers(start, stop)
        some = [marker for marker in block if start <= marker.tick <= stop and series in (None, marker.series)]
        return visible_at(some, known_at)

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        known_at = view.get("known_at")
        frame = visible(await self._light(start, stop, series), known_at)
        if view.get("resolution") == "1h":
            frame = firsts_of_hours(frame)
        withdrawn = await self._withdrawn(series, await self._days(start, stop), known_at)
        return [tick for tick in frame[TICK].to_list() if tick not in withdrawn]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        near = wanted.get("near")
        where = of_series(series) & between(start, stop)
        days = await self._days(start, stop)
        frame = await self._light_of(days, where & near_steps(near) if near else where)
        ticks = await self._stored_ticks(series, days, frame, known=wanted.get("known", False))
        return first_of_hours(ticks) if wanted.get("resolution") == "1h" else ticks

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        where = of_series(series) & (pl.col(TICK) <= pl.lit(at, tables.TIME))
        for days in in_steps(await self._days_before(at)):
            frame = await self._light_of(days, where)
            if len(frame):
                return await self._marker(series, frame[TICK][-1])
        return None

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        for days in in_steps(await self._reader.days()):
            frame = await self._light_of(days, of_series(series))
            if len(frame):
                return await self._marker(series, frame[TICK][0])
        return None

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        newest: StoredTick | None = None
        where = of_series(series) & (pl.col(TICK) <= pl.lit(at, tables.TIME))
        for days in in_steps(await self._days_before(at)):
            ticks = await self._stored_ticks(series, days, await self._light_of(days, where))
            if live := [tick for tick in ticks if not tick.backfilled]:
                return live[-1]
            newest = newest or next(reversed(ticks), None)
        return newest

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        fields = selection.get("fields")
        shown = series if fields is None else series.only(fields)
        found = dict.fromkeys(ticks, shown.empty())
        if not shown.fields or not ticks:
            return found
        if len({*ticks}) == 1:
            tick = next(iter(ticks))
            return found | {tick: await self._rows_of_tick(shown, tick, **selection)}
        where, columns = selected(shown, **selection), tables.series_columns(shown)
        parts = [
            await self._reader.read_ticks(series.name, run[0], run[-1], columns, [*columns], where)
            for run in near_runs(sorted({*ticks}), ROW_GROUP)
        ]
        rows = by_tick(shown, pl.concat(parts))
        return found | {tick: rows[tick] for tick in found if tick in rows}

    async def history(self, series: Series, cmc_id: int, ticks: Collection[datetime]) -> pl.DataFrame:
        """See `Store.history`."""
        wanted = sorted({*ticks})
        if not wanted or not series.fields:
            return pl.DataFrame(schema=tables.series_columns(series))
        where, hours = selected(series, ids=[cmc_id]), await self._hours(series.name, wanted)
        try:
            parts = [await self._rows(series, hours, where, hourly_table(series.name))]
        except StoreMalformed:  # the side table is damaged, and the minutes have the same rows
            parts, hours = [], []
        known = {*hours}
        parts.append(await self._rows(series, [tick for tick in wanted if tick not in known], where))
        return pl.concat(parts).sort(TICK)

    async def asset_names(self, start: datetime, stop: datetime) -> pl.DataFrame:
        """The names in the first and the last prices of each day, whose times are exact to the day."""
        ticks = (await self._light(start, stop, PRICE.name)).group_by(pl.col(TICK).dt.date().alias("day"))
        days = ticks.agg(pl.col(TICK).min().alias("first"), pl.col(TICK).max().alias("last")).sort("day")
        parts = [await self._names(part) for part in days.iter_slices(DAYS_OF_NAMES)]
        return merged_names(parts)

    async def _names(self, days: pl.DataFrame) -> pl.DataFrame:
        where = pl.col(TICK).is_in(pl.concat([days["first"], days["last"]]).cast(tables.TIME).implode())
        wanted = [ID, *PRICE.tags, TICK]
        rows = await self._reader.read(PRICE.name, days["day"].to_list(), tables.series_columns(PRICE), where, wanted)
        return merged_names([rows.with_columns(pl.col(TICK).alias("first"), pl.col(TICK).alias("last"))])

    async def missed(self, series: str, start: datetime, stop: datetime) -> list[MissedTick]:
        """The missing ticks whose cause was recorded."""
        days = await self._days(start, stop)
        where = of_series(series) & between(start, stop)
        return tables.missed_of(await self._reader.read(tables.GAPS, days, tables.GAP_COLUMNS, where))

    async def _with_withdrawals(self, frame: pl.DataFrame, days: Sequence[date]) -> list[Marker]:
        """Markers by tick and series, with their withdrawals."""
        changes = await self._reader.withdrawals(days) if len(frame) else {}
        markers = sorted(tables.markers_of(frame), key=lambda marker: (marker.tick, marker.series))
        return [with_withdrawals(marker, changes.get((marker.series, marker.tick), ())) for marker in markers]

    async def _all_markers(self, start: datetime, stop: datetime) -> tuple[list[Marker], int]:
        columns = tables.MARKER_COLUMNS
        frame = await self._reader.read_ticks(tables.MARKERS, start, stop, columns, [*columns])
        markers = await self._with_withdrawals(frame, await self._days(start, stop))
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

    async def _hours(self, series: str, ticks: Sequence[datetime]) -> list[datetime]:
        """Those of the ticks that the side tables of hours have."""
        days = await asyncio.gather(*(self._reader.day(day) for day in {tick.date() for tick in ticks}))
        hours = set[int]().union(*(day.hours(series) for day in days if day))
        return [tick for tick in ticks if tick.timestamp() in hours]

    async def _rows(
        self, series: Series, ticks: Sequence[datetime], selected: pl.Expr, table: str = ""
    ) -> pl.DataFrame:
        """Rows from the table of the series, or another one with its columns."""
        if not ticks:
            return pl.DataFrame(schema=tables.series_columns(series))
        where = pl.col(TICK) == pl.lit(ticks[0], tables.TIME)
        if len(ticks) > 1:
            where = between(ticks[0], ticks[-1]) & pl.col(TICK).is_in(pl.Series(ticks, dtype=tables.TIME).implode())
        days = sorted({tick.date() for tick in ticks})
        return await self._reader.read(table or series.name, days, tables.series_columns(series), where & selected)

    async def _marker(self, series: str, tick: datetime) -> Marker:
        return (await self.markers(tick, tick, series=series))[0]

    async def _light(self, start: datetime, stop: datetime, series: str | None) -> pl.DataFrame:
        return await self._light_of(await self._days(start, stop), of_series(series) & between(start, stop))

    async def _light_of(self, days: Sequence[date], where: pl.Expr) -> pl.DataFrame:
        """Markers by tick, without what costs most to read, with the instant at which each became visible."""
        frame = await self._reader.read(tables.MARKERS, days, tables.MARKER_COLUMNS, where, _LIGHT)
        fetched = pl.col("observed_at") + pl.duration(microseconds=(pl.col("duration_s") * 1e6).round())
        return frame.sort(TICK, "series").with_columns(pl.coalesce("stored_at", fetched).alias(VISIBLE))

    async def _stored_ticks(
        self, series: str, days: Sequence[date], frame: pl.DataFrame, *, known: bool = False
    ) -> list[StoredTick]:
        changes = await self._reader.withdrawals(days) if len(frame) else {}
        intervals = {seconds: timedelta(seconds=seconds) for seconds in frame["interval_s"].unique()}
        rows = frame.select(TICK, "interval_s", "backfilled", *([VISIBLE] if known else [])).iter_rows()
        ticks = [StoredTick(tick, intervals[seconds], late, False, *since) for tick, seconds, late, *since in rows]
        if not changes:
            return ticks
        return [changed(tick, changes.get((series, tick.tick), ()), known=known) for tick in ticks]

    async def _withdrawn(self, series: str, days: Sequence[date], known_at: datetime | None) -> frozenset[datetime]:
        """The ticks of a series that do not answer at an instant, by default now."""
        changes = await self._reader.withdrawals(days)
        return frozenset(
            tick
            for (name, tick), some in changes.items()
            if name == series and with_withdrawals(replace(BLANK, tick=tick), some).is_withdrawn(known_at)
        )

    async def _days(self, start: datetime, stop: datetime) -> list[date]:
        return [day for day in await self._reader.days() if start.date() <= day <= stop.date()]

    async def _days_before(self, at: datetime) -> list[date]:
        return [day for day in reversed(await self._reader.days()) if day <= at.date()]
