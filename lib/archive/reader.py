"""Reads sealed days, by their manifests only. What is in memory is bounded in bytes."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from cachetools import LRUCache

from lib.archive import tables
from lib.archive.hourly import firsts_of, hourly_table
from lib.archive.manifest import FOLDER, manifest_name, manifest_names, part_name, read_manifest, sealed_days
from lib.archive.objects import Objects
from lib.archive.places import Places, places_of
from lib.archive.tables import TICK, Withdrawal
from lib.clock import MINUTE, Clock
from lib.errors import StoreMalformed
from lib.store import Resolution
from lib.times import TIME, microseconds_of

_STEPS = (1, 8, 64, 512, 4096)
"""How many more days each step of a search reads at once."""
FRESH = MINUTE
"""What was added to a sealed day is seen after so long."""
MOST_BYTES = 32 * 2**20
"""Of the days in memory: about 1,000 days of minutes."""
FEW = 3
"""Of more days the manifests are listed together."""


@dataclass(frozen=True, slots=True)
class SealedDay:
    """What a reader needs of a manifest: the parts of each table, and which ticks the day has."""

    day: date
    number: int
    spacing: Resolution
    parts: Mapping[str, tuple[str, ...]]
    places: Mapping[str, Places | None]

    def names(self, table: str) -> tuple[str, ...]:
        """The parts of a table."""
        return self.parts.get(table, ())

    def hours(self, series: str) -> set[int]:
        """The ticks that the side table of hours has of a series, as epoch seconds."""
        places = self.places.get(part_name(series, self.day, 0))
        return firsts_of(places.ticks) if places and self.names(hourly_table(series)) else set()

    @property
    def size(self) -> int:
        """The bytes that it takes, about."""
        return 2000 + sum(places.size for places in self.places.values() if places)


class ArchiveReader:
    """Reads the tables of an archive. Raises StoreUnavailable while it is away, StoreMalformed for a damaged part."""

    def __init__(self, objects: Objects, *, clock: Clock) -> None:
        self.objects = objects
        self.clock = clock
        self._days: dict[date, int] = {}
        self._newest_name = ""
        self._listed_at: datetime | None = None
        self._sealed: LRUCache[date, tuple[datetime, SealedDay]] = LRUCache(
            MOST_BYTES, getsizeof=lambda known: known[1].size
        )
        self._numbers: dict[date, int] = {}
        self._numbered: tuple[date, datetime] | None = None

    async def days(self) -> Sequence[date]:
        """The sealed days, oldest first. Lists only what is new, at most once a minute."""
        now = self.clock()
        if not self.is_fresh(self._listed_at):
            new = await sealed_days(self.objects, after=self._newest_name)
            self._newest_name = max([self._newest_name, *(manifest_name(*each) for each in new.items())])
            self._days = dict(sorted((self._days | new).items()))
            self._listed_at = now
        return list(self._days)

    async def days_between(self, start: datetime, stop: datetime) -> list[date]:
        """The sealed days of a span."""
        days = await self.days()
        return [*days[bisect_left(days, start.date()) : bisect_right(days, stop.date())]]

    async def day(self, day: date, number: int | None = None) -> SealedDay | None:
        """The manifest in force of a day, or the one of this number; None if the day is not sealed."""
        now = self.clock()
        known = self._sealed.get(day)
        if known and (known[1].number == number or (number is None and self.is_fresh(known[0]))):
            return known[1]
        if number is None:
            if not (names := await manifest_names(self.objects, day)):
                return None
            newest = names[-1]
        else:
            newest = manifest_name(day, number)
        if known is None or newest != manifest_name(day, known[1].number):
            manifest = await read_manifest(self.objects, newest)
            full = [part for part in manifest.parts if part.rows]
            parts = {table: tuple(p.name for p in full if p.table == table) for table in {part.table for part in full}}
            places = dict(await asyncio.to_thread(lambda: [*places_of(manifest)]))
            known = now, SealedDay(day, manifest.number, manifest.spacing, parts, places)
        self._sealed[day] = now, known[1]
        return known[1]

    async def numbers_of(self, days: Sequence[date]) -> Mapping[date, int]:
        """The number of each day's manifest in force."""
        if len(days) <= FEW:
            return {each.day: each.number for each in await self.sealed(days)}
        if not self._numbered or days[0] < self._numbered[0] or not self.is_fresh(self._numbered[1]):
            self._numbers = await sealed_days(self.objects, after=f"{FOLDER}/date={days[0]}")
            self._numbered = days[0], self.clock()
        return self._numbers

    def is_fresh(self, read_at: datetime | None) -> bool:
        """Whether what was read then need not be read again."""
        return read_at is not None and timedelta() <= self.clock() - read_at < FRESH

    async def read(
        self,
        table: str,
        days: Iterable[date],
        columns: Mapping[str, Any],
        where: pl.Expr,
        select: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of a table on some days, in the order of the parts. A column that a part lacks is null."""
        sealed = await self.sealed(days)
        return await self.read_parts([name for each in sealed for name in each.names(table)], columns, where, select)

    async def read_parts(
        self, names: Sequence[str], columns: Mapping[str, Any], where: pl.Expr, select: Collection[str] | None = None
    ) -> pl.DataFrame:
        """The rows of some parts, in their order. A column that a part lacks is null."""
        wanted = list(columns if select is None else select)
        if not names:
            return _empty(columns, wanted)
        scan = partial(self.objects.scan, names, dict(columns))
        return await self._collected(names, lambda: scan().filter(where).select(wanted).collect())

    async def read_ticks(
        self,
        table: str,
        start: datetime,
        stop: datetime,
        columns: Mapping[str, Any],
        select: Collection[str],
        where: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """The rows with start <= tick <= stop, of a series or of the markers. It decodes no other ticks."""
        days = await self.days_between(start, stop)
        sealed = await self.sealed(days)
        places = [each.places.get(name) for each in sealed for name in each.names(table)]
        wanted = {TICK: None} | dict.fromkeys(select)
        rows = [(each.name, *each.rows(start, stop)) for each in places if each]
        some = [(name, offset, count) for name, offset, count in rows if count]
        frames = await asyncio.gather(*(self._slice(*each, columns, [*wanted], where) for each in some))
        frame = pl.concat(frames) if len(frames) > 1 else frames[0] if frames else _empty(columns, wanted)
        ticks = microseconds_of(frame[TICK]) // 1_000_000
        is_right = np.all((ticks >= start.timestamp()) & (ticks <= stop.timestamp()))
        if None in places or not is_right:  # the part is not in the order of its ticks
            span = between(start, stop)
            return await self.read(table, days, columns, span if where is None else span & where, select)
        return only(frame, select)

    async def _slice(
        self,
        name: str,
        offset: int,
        count: int,
        columns: Mapping[str, Any],
        select: Sequence[str],
        where: pl.Expr | None,
    ) -> pl.DataFrame:
        scan = partial(self.objects.scan, [name], columns)

        def collect() -> pl.DataFrame:
            rows = scan().slice(offset, count)
            return (rows if where is None else rows.filter(where)).select(select).collect()

        return await self._collected([name], collect)

    async def _collected(self, names: Sequence[str], collect: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        try:
            return await asyncio.to_thread(collect)
        except (pl.exceptions.PolarsError, OSError) as exc:
            await self.objects.names(names[0].rpartition("/")[0])  # if it is away, this raises StoreUnavailable
            why = str(exc).partition("\n")[0][:200]
            raise StoreMalformed(f"archive {self.objects.shown}: {', '.join(names[:3])}: {why}") from exc

    async def sealed(self, days: Iterable[date]) -> list[SealedDay]:
        """The manifests in force of those of the days that are sealed."""
        days = sorted({*days})
        numbers = await self.numbers_of(days) if len(days) > FEW else {}
        return [each for each in await asyncio.gather(*(self.day(day, numbers.get(day)) for day in days)) if each]

    async def withdrawals(self, days: Iterable[date]) -> dict[tuple[str, datetime], list[Withdrawal]]:
        """The withdrawals of some days, by series and tick."""
        days = [each.day for each in await self.sealed(days) if each.names(tables.WITHDRAWALS)]
        if not days:
            return {}
        frame = await self.read(tables.WITHDRAWALS, days, tables.WITHDRAWAL_COLUMNS, pl.lit(True))
        return tables.by_snapshot(tables.withdrawals_of(frame))


def _empty(columns: Mapping[str, Any], names: Iterable[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={name: columns[name] for name in names})


def only(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """These columns. `DataFrame.select` would plan a query, which takes longer than a small read."""
    return pl.DataFrame([frame[name] for name in names])


def between(start: datetime, stop: datetime) -> pl.Expr:
    """The rows with start <= tick <= stop."""
    return pl.col(TICK).is_between(pl.lit(start, TIME), pl.lit(stop, TIME))


def in_steps(days: Sequence[date]) -> Iterator[Sequence[date]]:
    """The days in growing groups: most searches end with the first."""
    at = 0
    for step in _STEPS:
        if some := days[at : at + step]:
            yield sorted(some)
        at += step
