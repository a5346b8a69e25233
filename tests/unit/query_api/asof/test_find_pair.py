"""The search for a pair reads the last few markers first; it finds the same pair as a search among all."""

from datetime import datetime, timedelta

import pytest

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from lib.store import Resolution
from query_api.asof.find_pair import PairFinder
from tests.contract.snapshots import MINUTE, snapshot
from tests.fakes import HOUR, NOON, FakeClock, MemoryStore

SECOND = timedelta(seconds=1)


class CountingStore(MemoryStore):
    """Counts the markers that each query returned."""

    counts: list[int]

    async def markers(
        self,
        start: datetime,
        stop: datetime,
        *,
        series: str | None = None,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[Marker]:
        markers = await super().markers(start, stop, series=series, resolution=resolution, known_at=known_at)
        self.counts.append(len(markers))
        return markers


@pytest.fixture
def store():
    store = CountingStore(FakeClock(NOON + HOUR))
    store.counts = []
    return store


async def write(store: MemoryStore, *, prices: list[timedelta], ranks: list[timedelta], interval=MINUTE) -> None:
    for series, ticks in ((PRICE, prices), (VOLUME_RANK, ranks)):
        for tick in ticks:
            await store.write(snapshot(series, NOON + tick, [{}], interval=interval))


async def find(store: MemoryStore, at: timedelta) -> tuple[timedelta, timedelta]:
    pair = (await PairFinder(store, max_skew=MINUTE).find(NOON + at, max_age=10 * MINUTE)).pair
    return pair.price.tick - NOON, pair.rank.tick - NOON


async def test_a_list_among_minutes_reads_the_markers_of_the_last_three_alone(store):
    minutes = [n * MINUTE for n in range(30)]
    await write(store, prices=minutes, ranks=minutes)
    assert await find(store, 20 * MINUTE + SECOND) == (20 * MINUTE, 20 * MINUTE)
    assert store.counts == [6]


async def test_after_one_list_a_longer_interval_is_expected(store):
    ticks = [5 * n * MINUTE for n in range(6)]
    await write(store, prices=ticks, ranks=ticks, interval=5 * MINUTE)
    finder = PairFinder(store, max_skew=MINUTE)
    for at in (9, 19):
        await finder.find(NOON + at * MINUTE, max_age=10 * MINUTE)
    assert store.counts == [0, 4, 2]


async def test_a_rank_tick_before_the_last_three_minutes_may_be_the_nearest(store):
    at, price = 20 * MINUTE, 17 * MINUTE + 30 * SECOND
    nearest = price - 50 * SECOND
    await write(store, prices=[price], ranks=[nearest, price + 55 * SECOND])
    assert await find(store, at) == (price, nearest)
    assert len(store.counts) == 2
