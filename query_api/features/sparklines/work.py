"""The prices of many assets at a few instants: what a list shows beside each asset, in one answer."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache
from pydantic import BaseModel, Field

from lib.clock import slot
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.store import Resolution, Store
from query_api.asof.find_pair import HOURLY_AGE

AT_ONCE = 8
"""How many ticks are read at the same time."""
KEPT = 512
"""Of how many ticks the prices asked for stay in memory: a list that moves on by a minute asks for few new ones."""
SECOND = timedelta(seconds=1)


class Line(BaseModel):
    """One asset's prices and, asked for, its source's ranks: null without a snapshot and where it was not in it."""

    cmc_id: int
    prices: list[float | None]
    ranks: list[int | None] | None = None


class SparklinesAnswer(BaseModel):
    """The values as of each instant `at`; `ticks` are the price snapshots they are from, null in a gap."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    at: list[datetime]
    ticks: list[datetime | None]
    data: list[Line]


Values = Mapping[int, float | None]


@dataclass(frozen=True, slots=True)
class _Tick:
    tick: datetime
    resolution: Resolution


class Sparklines:
    """Reads them from one store."""

    def __init__(self, store: Store, max_age: timedelta) -> None:
        self._store = store
        self._max_age = max_age
        self._known: LRUCache[tuple[str, datetime], dict[int, float | None]] = LRUCache(KEPT)

    async def of(
        self, ids: Sequence[int], start: datetime, stop: datetime, points: int, *, ranks: bool = False
    ) -> SparklinesAnswer:
        """The prices of `ids` at `start`, at multiples of a step between, and at `stop`."""
        at = instants(start, stop, points)
        turn = asyncio.Semaphore(AT_ONCE)
        prices, places = await asyncio.gather(
            self._column(PRICE, "usd", at, ids, turn), self._column(VOLUME_RANK, "rank", at if ranks else [], ids, turn)
        )
        data = [
            Line(
                cmc_id=id_,
                prices=[values.get(id_) for _, values in prices],
                ranks=[_whole(values.get(id_)) for _, values in places] if ranks else None,
            )
            for id_ in ids
        ]
        return SparklinesAnswer(start=start, stop=stop, at=at, ticks=[tick for tick, _ in prices], data=data)

    async def _column(
        self, series: Series, field: str, at: Sequence[datetime], ids: Sequence[int], turn: asyncio.Semaphore
    ) -> list[tuple[datetime | None, Values]]:
        async def one(tick: _Tick | None) -> tuple[datetime | None, Values]:
            async with turn:
                return (tick.tick, await self._values(series, field, tick, ids)) if tick else (None, {})

        return await asyncio.gather(*(one(tick) for tick in await self._ticks(series, at)))

    async def _ticks(self, series: Series, at: Sequence[datetime]) -> list[_Tick | None]:
        """For each instant the newest tick not after it nor too old; past the raw retention an hourly one."""
        if not at:
            return []
        horizon, (start, stop) = self._store.horizon(), (at[0], at[-1])
        raw, hourly = list[datetime](), list[datetime]()
        if stop >= horizon:
            raw = await self._store.ticks(series.name, max(start - self._max_age, horizon), stop)
        if start - self._max_age < horizon:
            last = min(stop, horizon + self._max_age)
            hourly = await self._store.ticks(series.name, self._since(start), last, resolution="1h")

        def newest(instant: datetime) -> _Tick | None:
            if instant >= horizon and (tick := _last(raw, instant - self._max_age, instant)):
                return _Tick(tick, "1m")
            if instant - self._max_age < horizon and (tick := _last(hourly, self._since(instant), instant)):
                return _Tick(tick, "1h")
            return None

        return [newest(instant) for instant in at]

    def _since(self, at: datetime) -> datetime:
        """How old an hourly tick may be."""
        return slot(at - max(self._max_age, HOURLY_AGE), HOURLY_AGE)

    async def _values(self, series: Series, field: str, tick: _Tick, ids: Sequence[int]) -> Values:
        known = self._known.setdefault((series.name, tick.tick), {})
        if missing := [id_ for id_ in ids if id_ not in known]:
            rows = await self._store.rows(series, tick.tick, ids=missing, fields=[field], resolution=tick.resolution)
            known |= dict.fromkeys(missing) | dict(zip(rows[ID], rows[field], strict=True))
        return known


def _last(ticks: Sequence[datetime], start: datetime, stop: datetime) -> datetime | None:
    """The last of the ascending ticks with start <= tick <= stop."""
    place = bisect_right(ticks, stop)
    return ticks[place - 1] if place and ticks[place - 1] >= start else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def instants(start: datetime, stop: datetime, points: int) -> list[datetime]:
    """`start`, `stop`, and the multiples of a `points`-th of the span between them.

    Multiples, so that the same instants are asked for again a minute later.
    """
    step = max(timedelta(seconds=(stop - start).total_seconds() // points), SECOND)
    first = slot(start, step) + step
    count = max(0, -((first - stop) // step))
    return [start, *(first + n * step for n in range(count)), stop]
