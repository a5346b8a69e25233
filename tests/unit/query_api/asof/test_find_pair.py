"""The search for a pair reads the last few markers first; it finds the same pair as a search among all."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from lib.store import Resolution
from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder
from query_api.asof.tick_pairs import pairs_of_lists
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
def clock():
    return FakeClock(NOON + HOUR)


@pytest.fixture
def store(clock):
    store = CountingStore(clock)
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


async def answered(store: MemoryStore, *minutes: float) -> list[bool]:
    """Whether there is an answer so many minutes after noon, where nobody says how old it may be."""

    async def one(at: datetime) -> bool:
        try:
            await PairFinder(store, max_skew=MINUTE).find(at, max_age=None)
        except NoSnapshot:
            return False
        return True

    alone = [await one(NOON + minute * MINUTE) for minute in minutes]
    instants = sorted({NOON + minute * MINUTE for minute in minutes})
    pairs = await pairs_of_lists(store, instants, max_age=None, max_skew=MINUTE)
    assert alone == [pairs[instants.index(NOON + minute * MINUTE)] is not None for minute in minutes]
    return alone


@pytest.mark.parametrize(("interval", "longest"), [(1, 10), (5, 10), (12, 24), (120, 240)])
async def test_without_a_max_age_a_list_answers_for_twice_its_interval_and_for_ten_minutes(store, interval, longest):
    await write(store, prices=[0 * MINUTE], ranks=[0 * MINUTE], interval=interval * MINUTE)
    assert await answered(store, 0, longest / 2, longest, longest + 0.1) == [True, True, True, False]


async def test_the_longer_interval_of_a_pair_decides(store):
    await store.write(snapshot(PRICE, NOON, [{}], interval=MINUTE))
    await store.write(snapshot(VOLUME_RANK, NOON, [{}], interval=15 * MINUTE))
    assert await answered(store, 30, 31) == [True, False]


@pytest.mark.parametrize(("at", "rank"), [(20 * MINUTE, 0 * SECOND), (9.5 * MINUTE, -50 * SECOND)])
async def test_the_age_that_the_list_before_allowed_is_not_that_of_the_next(store, at, rank):
    """Of the second list the price tick is young enough, and the rank tick is not."""
    await write(store, prices=[0 * MINUTE], ranks=[0 * MINUTE], interval=HOUR)
    await write(store, prices=[3 * HOUR], ranks=[3 * HOUR + rank], interval=MINUTE)
    finder = PairFinder(store, max_skew=MINUTE)
    await finder.find(NOON + 1.5 * HOUR, max_age=None)
    with pytest.raises(NoSnapshot):
        await finder.find(NOON + 3 * HOUR + at, max_age=None)


async def test_the_newest_pair_decides_and_not_an_older_one_of_a_longer_interval(store):
    await write(store, prices=[0 * MINUTE], ranks=[0 * MINUTE], interval=HOUR)
    await write(store, prices=[5 * MINUTE], ranks=[5 * MINUTE], interval=MINUTE)
    assert await answered(store, 4, 15, 16, 60) == [True, True, False, False]


async def test_a_bought_day_answers_for_ten_minutes(store):
    for series in (PRICE, VOLUME_RANK):
        bought = snapshot(series, NOON, [{}], interval=24 * HOUR)
        await store.write(replace(bought, marker=replace(bought.marker, backfilled=True)))
    assert await answered(store, 10, 11) == [True, False]


async def test_a_planned_interval_is_found_with_one_read_once_it_is_known(store):
    ticks = [12 * n * MINUTE for n in range(4)]
    await write(store, prices=ticks, ranks=ticks, interval=12 * MINUTE)
    finder = PairFinder(store, max_skew=MINUTE)
    await finder.find(NOON + 11 * MINUTE, max_age=None)
    store.counts.clear()
    for minute in (23, 35, 47):
        await finder.find(NOON + minute * MINUTE, max_age=None)
    assert len(store.counts) == 3


async def test_the_error_says_which_age_the_interval_allows(store):
    await write(store, prices=[0 * MINUTE], ranks=[0 * MINUTE], interval=12 * MINUTE)
    with pytest.raises(NoSnapshot, match="is 25m old, older than the 24m that its interval allows"):
        await PairFinder(store, max_skew=MINUTE).find(NOON + 25 * MINUTE, max_age=None)


async def test_a_withdrawal_counts_for_known_since_where_it_may_have_decided_the_pair(store, clock):
    minutes = [n * MINUTE for n in range(11)]
    await write(store, prices=minutes, ranks=minutes)
    finder, at = PairFinder(store, max_skew=MINUTE), NOON + 10 * MINUTE
    for minute, decides in ((8, False), (10, True)):
        clock.move(hours=1)
        await store.withdraw(PRICE.name, NOON + minute * MINUTE, NOON + minute * MINUTE, why="test")
        assert ((await finder.find(at, max_age=10 * MINUTE)).known_since == clock.now) == decides


async def test_without_a_pair_the_withdrawals_that_left_none_count_for_known_since(store, clock):
    await write(store, prices=[0 * MINUTE], ranks=[0 * MINUTE])
    clock.move(hours=1)
    await store.withdraw(PRICE.name, NOON, NOON, why="test")
    none = await PairFinder(store, max_skew=MINUTE).search(NOON, max_age=10 * MINUTE, explain=False)
    assert isinstance(none, NoSnapshot)
    assert none.known_since == clock.now
