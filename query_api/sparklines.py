"""The prices of many assets at a few instants: what a list shows beside each asset, in one answer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache
from pydantic import BaseModel, Field

from lib.clock import slot
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.snapshot import Marker
from lib.store import Resolution, Store
from query_api.pairs import HOURLY_AGE

AT_ONCE = 8
"""How many ticks are looked for at the same time."""
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
    marker: Marker
    resolution: Resolution


class Sparklines:
    """Reads them from one store."""

    def __init__(self, store: Store, max_age: timedelta) -> None:
        self._store = store
        self._max_age = max_age
        self._known: LRUCache[tuple[str, datetime, str], dict[int, float | None]] = LRUCache(KEPT)

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
        async def one(instant: datetime) -> tuple[datetime | None, Values]:
            async with turn:
                tick = await self._tick(series, instant)
                return (tick.marker.tick, await self._values(series, field, tick, ids)) if tick else (None, {})

        return await asyncio.gather(*(one(instant) for instant in at))

    async def _tick(self, series: Series, at: datetime) -> _Tick | None:
        """The newest tick not after `at` nor too old; past the raw retention an hourly one."""
        horizon = self._store.horizon()
        if at >= horizon:
            near = await self._store.markers(max(at - self._max_age, horizon), at, series=series.name)
            if near:
                return _Tick(near[-1], "1m")
        if at - self._max_age < horizon:
            since = slot(at - max(self._max_age, HOURLY_AGE), HOURLY_AGE)
            near = await self._store.markers(since, at, series=series.name, resolution="1h")
            if near:
                return _Tick(near[-1], "1h")
        return None

    async def _values(self, series: Series, field: str, tick: _Tick, ids: Sequence[int]) -> Values:
        marker = tick.marker
        known = self._known.setdefault((series.name, marker.tick, marker.hash), {})
        if missing := [id_ for id_ in ids if id_ not in known]:
            rows = await self._store.rows(series, marker.tick, ids=missing, fields=[field], resolution=tick.resolution)
            known |= dict.fromkeys(missing) | dict(zip(rows[ID], rows[field], strict=True))
        return known


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
