"""What sealed months answer: the first tick of each hour of the days that are in them unchanged."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import compress

import numpy as np
import polars as pl
from cachetools import LRUCache

from lib.archive import tables
from lib.archive.light_markers import LightMarkers
from lib.archive.months import MANIFESTS, Month, first_of_month, month_manifest, read_month
from lib.archive.reader import FEW, ArchiveReader
from lib.archive.tables import TICK, Withdrawal
from lib.clock import DAY, EPOCH, HOUR, from_epoch
from lib.errors import StoreMalformed
from lib.schema import Series
from lib.store import Steps
from lib.times import microseconds

MOST_BYTES = 8 * 2**20
"""Of the months in memory: about ten years."""
_DAY = DAY // timedelta.resolution


@dataclass(frozen=True, slots=True)
class ByMonth:
    """Some days: those that sealed months answer for, and the others."""

    months: Sequence[Month]
    days: frozenset[date]
    others: Sequence[date]

    def without(self, days: Iterable[date]) -> "ByMonth":
        """The same, with these days among the others."""
        left = self.days.difference(days)
        return replace(self, days=left, others=sorted({*self.others, *(self.days - left)}))

    @property
    def withdrawals(self) -> list[Withdrawal]:
        """The withdrawals in the days of the months."""
        return [each for month in self.months for each in month.withdrawals if each.tick.date() in self.days]

    def ticks(self, series: str) -> set[int]:
        """The ticks of the months as epoch seconds."""
        return set[int]().union(*(month.ticks.get(series, ()) for month in self.months))

    def deciding(self, series: str, steps: Steps, start: datetime, stop: datetime) -> "ByMonth":
        """The same without the days where a step, on a full hour, has no tick: one in the minute before may count."""
        first, every = int(steps.first.timestamp()), int(steps.every.total_seconds())
        begin = first + max(0, -(-(int(start.timestamp()) - first) // every)) * every
        wanted = np.arange(begin, int(stop.timestamp()) + 1, every)
        missing = wanted[~np.isin(wanted, [*self.ticks(series)])].tolist()
        return self.without(from_epoch(step - before).date() for step in missing for before in (0, 1))


class SealedMonths:
    """Reads the sealed months of an archive. One that is damaged counts as not sealed: the days have what it has."""

    def __init__(self, reader: ArchiveReader, light: LightMarkers) -> None:
        self._reader = reader
        self._light = light
        self._names: frozenset[str] = frozenset()
        self._listed_at: datetime | None = None
        self._months: LRUCache[str, Month] = LRUCache(MOST_BYTES, getsizeof=lambda month: month.size)

    async def of(self, days: Sequence[date]) -> ByMonth:
        """Which of these ascending days are in sealed months as they are now."""
        if not self._reader.is_fresh(self._listed_at):
            self._names = frozenset(await self._reader.objects.names(MANIFESTS))
            self._listed_at = self._reader.clock()
        wanted = sorted(self._names & {month_manifest(month) for month in {first_of_month(day) for day in days}})
        months = [month for month in await asyncio.gather(*map(self._month, wanted)) if month]
        numbers = await self._reader.numbers_of(days) if months else {}
        known = frozenset(day for month in months for day, number in month.days.items() if numbers.get(day) == number)
        return ByMonth(months, known.intersection(days), [day for day in days if day not in known])

    async def markers(self, by_month: ByMonth, where: pl.Expr, select: Collection[str]) -> tuple[pl.DataFrame, ByMonth]:
        """The markers of the hours in the months, by tick; and the days of which they are not read."""
        names = [month.name(tables.MARKERS) for month in by_month.months] if by_month.days else []
        try:
            frame = await self._light.read(names, where, select)
        except StoreMalformed:
            return await self.markers(by_month.without(by_month.days), where, select)
        return among_days(frame, by_month.days), by_month

    async def rows(
        self, series: Series, ticks: Sequence[datetime], where: pl.Expr
    ) -> tuple[pl.DataFrame, Sequence[datetime]]:
        """The rows of those of these ascending ticks that the months have, and of other hours; and the other ticks.

        Of a few days only, their own parts are as quick.
        """
        columns = tables.series_columns(series)
        days = sorted({tick.date() for tick in ticks})
        by_month = await self.of(days) if len(days) > FEW else ByMonth([], frozenset(), days)
        own, others = split(ticks, by_month.ticks(series.name), by_month.days)
        names = [month.name(series.name) for month in by_month.months if own and series.name in month.ticks]
        try:
            frame = await self._reader.read_parts(names, columns, where)
        except StoreMalformed:
            return pl.DataFrame(schema=columns), ticks
        return among_days(frame, by_month.days), others

    async def _month(self, name: str) -> Month | None:
        if (known := self._months.get(name)) is None:
            try:
                known = self._months[name] = await read_month(self._reader.objects, name)
            except StoreMalformed:
                return None
        return known


def split(
    ticks: Sequence[datetime], seconds: Collection[int], days: Collection[date]
) -> tuple[list[datetime], list[datetime]]:
    """Those of the ticks that are among these epoch seconds and on these days, and the others."""
    each = microseconds(ticks)
    on_days = np.isin(each // _DAY, [(day - EPOCH.date()).days for day in days])
    is_own = on_days & np.isin(each, np.fromiter(seconds, np.int64, len(seconds)) * 1_000_000)
    return list(compress(ticks, is_own)), list(compress(ticks, ~is_own))


def among_days(frame: pl.DataFrame, days: Collection[date]) -> pl.DataFrame:
    """The rows of these days."""
    return frame.filter(pl.col(TICK).dt.date().is_in([*days]))


def are_full_hours(steps: Steps | None) -> bool:
    """Whether every step is a full hour."""
    return steps is not None and not steps.every % HOUR and not steps.first.timestamp() % HOUR.total_seconds()
