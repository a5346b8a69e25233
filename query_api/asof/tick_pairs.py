"""The as-of rule for many instants at once. It reads ticks and their intervals, no markers."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib.clock import HOUR, slot
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker, StoredTick
from lib.store import Resolution, Steps, Store
from lib.times import Microseconds, microseconds

EVER = datetime(1, 1, 1, tzinfo=UTC)
Numbers = NDArray[np.intp]
Sides = tuple[list[StoredTick], list[StoredTick]]
"""The price and the rank ticks of a span."""


class TickPair(NamedTuple):
    """The ticks of a price and a rank snapshot that answer together."""

    price: StoredTick
    rank: StoredTick


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
        self._skew = max_skew // timedelta.resolution
        self._ranks = sorted((rank for rank in ranks if rank.answers(known_at)), key=_tick)
        self._rank_ticks = microseconds([rank.tick for rank in self._ranks])
        prices = sorted((price for price in prices if price.answers(known_at)), key=_tick)
        ticks = microseconds([price.tick for price in prices])
        # Prices without any rank are dropped once, not skipped again for each instant.
        first, stop = self._near(ticks - self._skew, ticks + self._skew)
        self._prices = [prices[number] for number in np.flatnonzero(first < stop).tolist()]
        self._price_ticks = ticks[first < stop]

    def at(self, at: datetime, *, since: datetime) -> TickPair | None:
        """The newest pair up to an instant, of ticks not before `since`: see `newest_pair`."""
        return self.each(microseconds([at]), since=microseconds([since]))[0]

    def each(self, at: Microseconds, *, since: Microseconds) -> list[TickPair | None]:
        """What `at` answers for each instant."""
        prices = np.searchsorted(self._price_ticks, at, "right") - 1
        ranks = np.full(len(at), -1)
        unpaired = np.arange(len(at))
        while len(unpaired := unpaired[prices[unpaired] >= 0]):
            price = self._price_ticks[prices[unpaired]]
            unpaired, price = unpaired[price >= since[unpaired]], price[price >= since[unpaired]]
            first, stop = self._near(
                np.maximum(price - self._skew, since[unpaired]), np.minimum(price + self._skew, at[unpaired])
            )
            has_rank = first < stop
            ranks[unpaired[has_rank]] = self._nearest(price[has_rank], first[has_rank], stop[has_rank])
            unpaired = unpaired[~has_rank]
            prices[unpaired] -= 1
        return [
            TickPair(self._prices[price], self._ranks[rank]) if rank >= 0 else None
            for price, rank in zip(prices.tolist(), ranks.tolist(), strict=True)
        ]

    def ages(self, instants: Sequence[datetime]) -> list[timedelta]:
        """The largest age that the newest pair up to each instant allows: see `age_by_interval`."""
        newest = self.each(microseconds(instants), since=microseconds([EVER] * len(instants)))
        return [age_by_interval([pair.price, pair.rank] if pair else []) for pair in newest]

    def _near(self, start: Microseconds, last: Microseconds) -> tuple[Numbers, Numbers]:
        """The number of the first rank tick of each span, and that of the one after its last."""
        return np.searchsorted(self._rank_ticks, start, "left"), np.searchsorted(self._rank_ticks, last, "right")

    def _nearest(self, ticks: Microseconds, first: Numbers, stop: Numbers) -> Numbers:
        """The number of the rank tick nearest to each tick, from `first` to before `stop`; of two the earlier."""
        after = np.clip(np.searchsorted(self._rank_ticks, ticks), first, stop - 1)
        before = np.maximum(after - 1, first)
        is_before = ticks - self._rank_ticks[before] <= np.abs(self._rank_ticks[after] - ticks)
        return np.where(is_before, before, after)


_tick = attrgetter("tick")


async def read_sides(
    store: Store,
    start: datetime,
    stop: datetime,
    max_skew: timedelta,
    *,
    known: bool = False,
    near: Steps | None = None,
) -> Sides:
    """The ticks of the pairs whose price tick lies in a span. See `read_ticks`."""
    return await asyncio.gather(
        read_ticks(store, PRICE.name, start, stop, known=known, near=near),
        read_ticks(store, VOLUME_RANK.name, start - max_skew, stop + max_skew, known=known, near=near),
    )


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
            store.stored_ticks(PRICE.name, first, last, resolution=resolution, known=True),
            store.stored_ticks(VOLUME_RANK.name, first, last, resolution=resolution, known=True),
        )
        return await asyncio.to_thread(TickPairs, prices, ranks, max_skew)

    raw = hourly = TickPairs([], [], max_skew)
    if stop >= horizon:
        raw = await pairs(max(start - longest, horizon), stop, "1m")
    if start - longest < horizon:
        hourly = await pairs(slot(start - hourly_age, HOUR), min(stop, horizon + longest), "1h")

    def paired() -> list[tuple[TickPair, Resolution] | None]:
        ages = [max_age] * len(instants) if max_age else raw.ages(instants)
        first = [max(at - age, horizon) for at, age in zip(instants, ages, strict=True)]
        minutes = raw.each(microseconds(instants), since=microseconds(first))
        ages = [max_age] * len(instants) if max_age else hourly.ages(instants)
        first = [at - max(age, HOUR) for at, age in zip(instants, ages, strict=True)]
        hours = hourly.each(microseconds(instants), since=microseconds(first))
        return [
            (minute, "1m") if minute else (hour, "1h") if hour and at - age < horizon else None
            for at, age, minute, hour in zip(instants, ages, minutes, hours, strict=True)
        ]

    return await asyncio.to_thread(paired)


async def _age_at(store: Store, at: datetime) -> timedelta:
    """The largest age that the newest ticks of an instant allow."""
    newest = await asyncio.gather(store.nearest(PRICE.name, at), store.nearest(VOLUME_RANK.name, at))
    return age_by_interval([marker for marker in newest if marker])


def were_known(pairs: Iterable[TickPair | None], at: datetime) -> bool:
    """Whether all snapshots of the pairs answered at an instant. Their ticks were read with `known`."""
    return all(pair.price.answers(at) and pair.rank.answers(at) for pair in pairs if pair)
