"""The prices of many assets at a few instants: what a list shows beside each asset, in one answer."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cachetools import LRUCache
from pydantic import BaseModel, Field

from lib.clock import SECOND, slot
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.store import Resolution
from query_api.asof.tick_pairs import TickPair, pairs_of_lists
from query_api.services import Services

CACHED_VALUES = 250_000
"""Prices and ranks in memory, some 25 MB: a list that moves on by a minute reads few new ones."""

Values = Mapping[int, float]
ListPair = tuple[TickPair, Resolution]


class Line(BaseModel):
    """One asset's prices to 6 significant digits and, with `ranks=true`, its source's ranks.

    They are null in a gap and where the asset is not listed.
    """

    cmc_id: int
    prices: list[float | None]
    ranks: list[int | None] | None = None


class SparklinesAnswer(BaseModel):
    """The values in the list of each instant `at`; `ticks` are the price snapshots they are from, null in a gap."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    at: list[datetime]
    ticks: list[datetime | None]
    data: list[Line]


class Sparklines:
    """Reads them, each tick as one step of long work."""

    def __init__(self, services: Services, cached_values: int = CACHED_VALUES) -> None:
        self._services = services
        self.cache: LRUCache[tuple[str, datetime], Values] = LRUCache(cached_values, getsizeof=len)

    async def find(
        self, ids: Sequence[int], start: datetime, stop: datetime, points: int, *, ranks: bool = False
    ) -> tuple[SparklinesAnswer, Sequence[ListPair | None]]:
        """The prices of `ids` at `start`, at multiples of a step between, and at `stop`.

        Each is the price in the list of that instant, so an asset without a rank there has none. The second part of
        the result is the pair of each instant.
        """
        at, services, long_work = instants(start, stop, points), self._services, self._services.long_work
        async with long_work.step():
            max_skew = services.lists.pair_finder.max_skew
            pairs = await pairs_of_lists(services.store, at, max_age=services.max_age, max_skew=max_skew)
        columns = await asyncio.gather(*(self._column(pair, ids) for pair in pairs))
        answer = await long_work.in_thread(lambda: _answer(ids, at, pairs, columns, ranks))
        return answer, pairs

    async def _column(self, pair: ListPair | None, ids: Sequence[int]) -> tuple[Values, Values]:
        """The prices and ranks of a pair."""
        if pair is None:
            return {}, {}
        ticks, resolution = pair
        async with self._services.long_work.step():
            return await asyncio.gather(
                self._values(PRICE, "usd", ticks.price.tick, ids, resolution),
                self._values(VOLUME_RANK, "rank", ticks.rank.tick, ids, resolution),
            )

    async def _values(
        self, series: Series, field: str, tick: datetime, ids: Sequence[int], resolution: Resolution
    ) -> Values:
        """The field of these ids at a tick. Ids that the tick lacks are not cached: anybody can make up ids."""
        key = (series.name, tick)
        cached = self.cache.get(key, {})
        if missing := [id_ for id_ in ids if id_ not in cached]:
            rows = await self._services.store.rows(series, tick, ids=missing, fields=[field], resolution=resolution)
            cached = {**self.cache.get(key, {}), **dict(zip(rows[ID], rows[field], strict=True))}
            self.cache[key] = cached
        return cached


def _answer(
    ids: Sequence[int],
    at: Sequence[datetime],
    pairs: Sequence[ListPair | None],
    columns: Sequence[tuple[Values, Values]],
    ranks: bool,
) -> SparklinesAnswer:
    data = [
        Line(
            cmc_id=id_,
            prices=[_rounded(prices[id_]) if id_ in prices and id_ in places else None for prices, places in columns],
            ranks=[int(places[id_]) if id_ in places else None for _, places in columns] if ranks else None,
        )
        for id_ in ids
    ]
    ticks = [pair[0].price.tick if pair else None for pair in pairs]
    return SparklinesAnswer(start=at[0], stop=at[-1], at=list(at), ticks=ticks, data=data)


def _rounded(price: float) -> float:
    """With 6 significant digits: a line is a few pixels high, and all digits would take twice the bytes."""
    return float(f"{price:.6g}")


def instants(start: datetime, stop: datetime, points: int) -> list[datetime]:
    """`start`, `stop`, and the multiples of a `points`-th of the span between them.

    Multiples, so that most instants are the same a minute later.
    """
    step = max(timedelta(seconds=(stop - start).total_seconds() // points), SECOND)
    first = slot(start, step) + step
    count = max(0, -((first - stop) // step))
    return [start, *(first + n * step for n in range(count)), stop]
