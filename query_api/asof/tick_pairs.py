"""The as-of rule for many instants at once. It reads ticks and their intervals, no markers."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from lib.clock import HOUR, slot
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker, StoredTick
from lib.store import Resolution, Steps, Store


@dataclass(frozen=True, slots=True)
class TickPair:
    """The ticks of a price and a rank snapshot that answer together."""

    price: StoredTick
    rank: StoredTick

    @property
    def backfilled(self) -> bool:
        """Whether one of them was bought or imported later."""
        return self.price.backfilled or self.rank.backfilled


LEAST_AGE = timedelta(minutes=10)
"""The least age that is allowed where no setting and no request has another."""


def age_by_interval(ticks: Iterable[Marker | StoredTick]) -> timedelta:
    """The largest age of a pair of these ticks: twice the longer interval, at least `LEAST_AGE`.

    The interval of a backfilled tick does not count: the ticks beside it are missing.
    """
    return max([LEAST_AGE, *(2 * tick.interval for tick in ticks if not tick.backfilled)])


class TickPairs:
    """The pairs of two series' ticks that answer at `known_at`, by default now."""

    def __init__(
        self,
        prices: Iterable[StoredTick],
        ranks: Iterable[StoredTick],
        max_skew: timedelta,
        known_at: datetime | None = None,
    ) -> None:
        self._max_skew = max_skew
        self._ranks = sorted((rank for rank in ranks if rank.answers(known_at)), key=_tick)
        self._rank_ticks = [rank.tick for rank in self._ranks]
        # Prices without any rank are dropped once, not skipped again for each instant.
        answering = (price for price in prices if price.answers(known_at) and self._ranks_near(price))
        self._prices = sorted(answering, key=_tick)
        self._price_ticks = [price.tick for price in self._prices]

    def at(self, at: datetime, *, since: datetime) -> TickPair | None:
        """The newest pair up to an instant, of ticks not before `since`: see `newest_pair`."""
        for number in range(bisect_right(self._price_ticks, at) - 1, -1, -1):
            price = self._prices[number]
            if price.tick < since:
                return None
            first, last = max(price.tick - self._max_skew, since), min(price.tick + self._max_skew, at)
            if near := self._near(first, last):
                return TickPair(price, min(near, key=lambda rank: (abs(rank.tick - price.tick), rank.tick)))
        return None

    def age_at(self, at: datetime) -> timedelta:
        """The largest age that the newest pair up to an instant allows: see `age_by_interval`."""
        pair = self.at(at, since=self._price_ticks[0] - self._max_skew) if self._price_ticks else None
        return age_by_interval([pair.price, pair.rank] if pair else [])

    def _ranks_near(self, price: StoredTick) -> list[StoredTick]:
        return self._near(price.tick - self._max_skew, price.tick + self._max_skew)

    def _near(self, first: datetime, last: datetime) -> list[StoredTick]:
        return self._ranks[bisect_left(self._rank_ticks, first) : bisect_right(self._rank_ticks, last)]


_tick = attrgetter("tick")


async def read_pairs(store: Store, start: datetime, stop: datetime, max_skew: timedelta) -> TickPairs:
    """The pairs whose price tick lies in a span; before the horizon, of the first ticks of the hours."""
    prices, ranks = await asyncio.gather(
        read_ticks(store, PRICE.name, start, stop),
        read_ticks(store, VOLUME_RANK.name, start - max_skew, stop + max_skew),
    )
    return await asyncio.to_thread(TickPairs, prices, ranks, max_skew)


async def read_ticks(
    store: Store, series: str, start: datetime, stop: datetime, *, known: bool = False, near: Steps | None = None
) -> list[StoredTick]:
    """A span's ticks, withdrawn ones too; before the horizon, the first ones of the hours. See `WantedTicks`."""
    horizon = store.horizon()
    raw: list[StoredTick] = []
    if stop >= horizon:
        raw = await store.stored_ticks(series, max(start, horizon), stop, known=known, near=near)
    if start >= horizon:
        return raw
    hourly = await store.stored_ticks(series, slot(start, HOUR), min(stop, horizon), resolution="1h", known=known)
    return [*(tick for tick in hourly if start <= tick.tick < horizon), *raw]


async def pairs_of_lists(
    store: Store, instants: Sequence[datetime], *, max_age: timedelta | None, max_skew: timedelta
) -> list[tuple[TickPair, Resolution] | None]:
    """For each of the ascending instants the pair `PairFinder.find` finds, and its resolution; None without one."""
    if not instants:
        return []
    horizon, start, stop = store.horizon(), instants[0], instants[-1]
    longest = max_age or await _age_at(store, start)
    hourly_age = max(longest, HOUR)

    async def pairs(first: datetime, last: datetime, resolution: Resolution) -> TickPairs:
        prices, ranks = await asyncio.gather(
            store.stored_ticks(PRICE.name, first, last, resolution=resolution),
            store.stored_ticks(VOLUME_RANK.name, first, last, resolution=resolution),
        )
        return await asyncio.to_thread(TickPairs, prices, ranks, max_skew)

    raw = hourly = TickPairs([], [], max_skew)
    if stop >= horizon:
        raw = await pairs(max(start - longest, horizon), stop, "1m")
    if start - longest < horizon:
        hourly = await pairs(slot(start - hourly_age, HOUR), min(stop, horizon + longest), "1h")

    def pair_at(at: datetime) -> tuple[TickPair, Resolution] | None:
        age = max_age or raw.age_at(at)
        if at >= horizon and (pair := raw.at(at, since=max(at - age, horizon))):
            return pair, "1m"
        age = max_age or hourly.age_at(at)
        if at - age < horizon and (pair := hourly.at(at, since=at - max(age, HOUR))):
            return pair, "1h"
        return None

    return [pair_at(at) for at in instants]


async def _age_at(store: Store, at: datetime) -> timedelta:
    """The largest age that the newest ticks of an instant allow."""
    newest = await asyncio.gather(store.nearest(PRICE.name, at), store.nearest(VOLUME_RANK.name, at))
    return age_by_interval([marker for marker in newest if marker])


async def all_stored_by(store: Store, pairs: Iterable[tuple[TickPair, Resolution] | None], at: datetime) -> bool:
    """Whether every snapshot of the pairs was in the store at an instant."""
    ticks: dict[tuple[str, Resolution], set[datetime]] = {}
    for pair, resolution in filter(None, pairs):
        ticks.setdefault((PRICE.name, resolution), set()).add(pair.price.tick)
        ticks.setdefault((VOLUME_RANK.name, resolution), set()).add(pair.rank.tick)
    reads = [
        store.ticks(series, min(own), max(own), resolution=resolution, known_at=at)
        for (series, resolution), own in ticks.items()
    ]
    return all(own <= {*known} for own, known in zip(ticks.values(), await asyncio.gather(*reads), strict=True))
