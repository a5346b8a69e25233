"""Markers of sealed days as frames: all of some days without what costs most to read, or the first of each hour."""

from collections.abc import Collection, Sequence
from datetime import date, datetime

import polars as pl

from lib.archive import tables
from lib.archive.light_markers import LIGHT, LightMarkers
from lib.archive.reader import ArchiveReader, between
from lib.archive.sealed_months import ByMonth, SealedMonths, among_days, are_full_hours
from lib.archive.stored_ticks import VISIBLE, firsts_of_hours, near_steps, of_series, visible
from lib.archive.tables import TICK, Withdrawal
from lib.clock import HOUR, slot
from lib.store import Steps

Changes = dict[tuple[str, datetime], list[Withdrawal]]
"""Withdrawals by series and tick."""


class MarkerFrames:
    """Reads markers by tick, with the instant at which each became visible."""

    def __init__(self, reader: ArchiveReader, months: SealedMonths, light: LightMarkers) -> None:
        self._reader = reader
        self._months = months
        self._light = light

    async def light(self, days: Sequence[date], where: pl.Expr, select: Collection[str] = LIGHT) -> pl.DataFrame:
        """The markers of some days."""
        return _sorted(await self._read(days, where, select))

    async def near(
        self, series: str, start: datetime, stop: datetime, near: Steps | None
    ) -> tuple[pl.DataFrame, Changes]:
        """A series' markers of a span; with `near` perhaps only those in the minute before a step."""
        where = of_series(series) & between(start, stop)
        if near is None:
            days = await self._reader.days_between(start, stop)
            return await self.light(days, where), await self._reader.withdrawals(days)
        where = where & near_steps(near)
        by_month = ByMonth([], frozenset(), await self._reader.days_between(start, stop))
        if are_full_hours(near):
            by_month = (await self._months.of(by_month.others)).deciding(series, near, start, stop)
        frame, by_month = await self._months.markers(by_month, where, LIGHT)
        return _sorted(frame, await self._read(by_month.others, where, LIGHT)), await self._changes(by_month)

    async def hours(
        self,
        start: datetime,
        stop: datetime,
        series: str | None,
        *,
        known_at: datetime | None = None,
        select: Collection[str] = LIGHT,
    ) -> tuple[pl.DataFrame, Changes]:
        """Of each hour the first marker that was visible at `known_at`, if it is in the span."""
        whole_hours = of_series(series) & between(slot(start, HOUR), stop)
        by_month = await self._months.of(await self._reader.days_between(start, stop))
        frame, by_month = await self._months.markers(by_month, whole_hours, select)
        frame = _sorted(frame)
        if known_at and len(late := frame.filter(pl.col(VISIBLE) > known_at)):
            by_month = by_month.without(late[TICK].dt.date())  # a later tick of that hour was its first then
            frame = among_days(frame, by_month.days)
        frame = frame.filter(pl.col(TICK) >= start)
        if not by_month.others:
            return frame, await self._changes(by_month)
        firsts = firsts_of_hours(visible(await self.light(by_month.others, whole_hours), known_at))
        if {*select} - {*LIGHT}:  # the other columns of all other markers need not be read
            firsts = await self.light(by_month.others, whole_hours & pl.col(TICK).is_in(firsts[TICK].implode()), select)
            firsts = firsts_of_hours(visible(firsts, known_at))
        return _sorted(frame, firsts.filter(pl.col(TICK) >= start)), await self._changes(by_month)

    async def _read(self, days: Sequence[date], where: pl.Expr, select: Collection[str]) -> pl.DataFrame:
        names = [name for each in await self._reader.sealed(days) for name in each.names(tables.MARKERS)]
        return await self._light.read(names, where, select)

    async def _changes(self, by_month: ByMonth) -> Changes:
        return await self._reader.withdrawals(by_month.others) | tables.by_snapshot(by_month.withdrawals)


def _sorted(*frames: pl.DataFrame) -> pl.DataFrame:
    """By tick and series, with the instant at which each became visible."""
    frame = pl.concat([each.drop(VISIBLE, strict=False) for each in frames])
    fetched = pl.col("observed_at") + pl.duration(microseconds=(pl.col("duration_s") * 1e6).round())
    return frame.sort(TICK, "series").with_columns(pl.coalesce("stored_at", fetched).alias(VISIBLE))
