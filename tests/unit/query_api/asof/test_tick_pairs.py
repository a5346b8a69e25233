"""Pairs of ticks: the as-of rule over many instants, and the nearest pair before one."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import StoredTick
from lib.times import Microseconds, microseconds
from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder
from query_api.asof.tick_pairs import Numbers, TickPairs, pairs_of_lists
from tests.examples import examples
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api import reference
from tests.unit.query_api.market import HOUR, MINUTE, NEWEST, SECOND, CountingStore, Prices, Ranks, fill, snapshot

T = NEWEST
EVER = timedelta(days=9999)
TICKS = st.lists(st.integers(-40, 4).map(lambda n: T + n * 30 * SECOND), max_size=8, unique=True)


def stored(*ticks: datetime) -> list[StoredTick]:
    return [StoredTick(tick, MINUTE, False) for tick in ticks]


def at(minute: float) -> datetime:
    return T + minute * MINUTE


@given(TICKS, TICKS, st.integers(-40, 8), st.sampled_from([0, 30, 60]), st.sampled_from([EVER, 3 * MINUTE]))
def test_the_newest_pair_is_the_reference_s(prices, ranks, step, skew, age) -> None:
    instant = T + step * 30 * SECOND
    found = TickPairs(stored(*prices), stored(*ranks), skew * SECOND).at(instant, since=instant - age)
    expected = reference.pair_of(prices, ranks, instant, skew * SECOND, age)
    assert (found and (found.price.tick, found.rank.tick)) == expected


def test_prices_without_a_rank_are_skipped_once_and_not_again_for_each_instant() -> None:
    """SV-20: ranks may be away for days, and a history asks for thousands of instants."""

    class Counting(TickPairs):
        searches = 0

        def _near(self, start: Microseconds, last: Microseconds) -> tuple[Numbers, Numbers]:
            Counting.searches += 1
            return super()._near(start, last)

    pairs = Counting(stored(*(at(-minute) for minute in range(200))), stored(at(-199)), MINUTE)
    instants = microseconds([at(-minute / 2) for minute in range(200)])
    assert all(pairs.each(instants, since=instants - 10**12))
    assert Counting.searches <= 3


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_rank_ticks_equally_near_the_earlier_is_taken(reverse) -> None:
    ranks = sorted(stored(at(-1.5), at(-0.5)), reverse=reverse)
    found = TickPairs(stored(at(-1)), ranks, MINUTE).at(T, since=T - HOUR)
    assert found
    assert found.rank.tick == at(-1.5)


@given(TICKS.filter(len), TICKS.filter(len), st.sampled_from([1, 20, 60]))
@settings(deadline=None, max_examples=examples(50))
async def test_each_instant_has_the_pair_of_its_list(prices, ranks, hours) -> None:
    """Also past the retention, where the first ticks of the hours are left."""
    store = MemoryStore(FakeClock(T + MINUTE), retention=hours * 20 * MINUTE)
    await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]) for tick in prices])
    await fill(store, [Ranks(tick, [(1, 1.0)]) for tick in ranks])
    instants = [at(minute / 2) for minute in range(-50, 3)]
    found = await pairs_of_lists(store, instants, max_age=10 * MINUTE, max_skew=MINUTE)
    for instant, each in zip(instants, found, strict=True):
        try:
            pair = await PairFinder(store, max_skew=MINUTE).find(instant, max_age=10 * MINUTE)
        except NoSnapshot:
            assert each is None
        else:
            assert each
            assert each == ((each[0]), pair.resolution)
            assert (each[0].price.tick, each[0].rank.tick) == (pair.pair.price.tick, pair.pair.rank.tick)


async def before(store: MemoryStore, instant: datetime, known_at: datetime | None = None) -> datetime | None:
    pair = await PairFinder(store, max_skew=MINUTE).before(instant, known_at=known_at)
    return pair.price.tick if pair else None


@given(TICKS, TICKS, st.integers(-40, 8))
@settings(deadline=None, max_examples=examples(50))
async def test_the_pair_before_is_the_reference_s_of_any_age(prices, ranks, step) -> None:
    store = MemoryStore(FakeClock(T + HOUR))
    store.snapshots = {(PRICE.name, tick): snapshot(Prices(tick, [(1, "A", "A", 1.0, 1.0)])) for tick in prices}
    store.snapshots |= {(VOLUME_RANK.name, tick): snapshot(Ranks(tick, [(1, 1.0)])) for tick in ranks}
    instant = T + step * 30 * SECOND
    expected = reference.pair_of(prices, ranks, instant, MINUTE, EVER)
    assert await before(store, instant) == (expected and expected[0])


PRICED, RANKED = snapshot(Prices(T, [(1, "A", "A", 1.0, 1.0)])), snapshot(Ranks(T, [(1, 1.0)]))
LATE = st.dictionaries(st.integers(-400, 4), st.sampled_from([0, 10, 90]), max_size=6)
"""Ticks in half minutes, and after how many minutes each was stored."""


@given(LATE, LATE, st.integers(-400, 8), st.none() | st.integers(-400, 200))
@settings(deadline=None, max_examples=examples(50))
async def test_the_pair_before_as_known_at_an_instant_is_the_reference_s(prices, ranks, half, known) -> None:
    store = MemoryStore(FakeClock(T + 9 * HOUR))
    known_at = None if known is None else at(known / 2)
    visible: list[list[datetime]] = []
    for whole, sent in ((PRICED, prices), (RANKED, ranks)):
        stored_at = {at(tick / 2): at(tick / 2 + later) for tick, later in sent.items()}
        for tick, since in stored_at.items():
            marker = replace(whole.marker, tick=tick, stored_at=since)
            store.snapshots[whole.series.name, tick] = replace(whole, marker=marker)
        visible.append([tick for tick, since in stored_at.items() if known_at is None or since <= known_at])
    expected = reference.pair_of(visible[0], visible[1], at(half / 2), MINUTE, EVER)
    assert await before(store, at(half / 2), known_at=known_at) == (expected and expected[0])


@pytest.mark.parametrize("known_at", [None, T])
@pytest.mark.parametrize(
    ("prices", "ranks", "pair"),
    [([-0.5], [-1], -0.5), ([-1], [-0.5], -1), ([0, -64.5], [-5, -63.75], -64.5), ([0, -63.75], [-5, -64.5], -63.75)],
    ids=["an older rank", "a newer rank", "a rank of the window after", "a rank of the window before"],
)
async def test_the_pair_before_may_have_its_rank_on_either_side(prices, ranks, pair, known_at) -> None:
    store = stocked_at(prices, ranks)
    assert await before(store, T, known_at=known_at) == at(pair)


def stocked_at(prices: Iterable[float], ranks: Iterable[float]) -> CountingStore:
    """Each stored at its tick, in minutes before T."""
    store = CountingStore(FakeClock(T))
    for whole, minutes in ((PRICED, prices), (RANKED, ranks)):
        for tick in map(at, minutes):
            marker = replace(whole.marker, tick=tick, stored_at=tick)
            store.snapshots[whole.series.name, tick] = replace(whole, marker=marker)
    return store


async def test_to_find_the_pair_before_reads_nothing_of_a_year_without_ranks() -> None:
    store = stocked_at([-day * 1440 for day in range(365)], [-364 * 1440])
    assert await before(store, T) == at(-364 * 1440)
    assert store.asked <= 6


async def test_to_find_the_pair_known_long_ago_reads_nothing_of_what_came_since() -> None:
    days = [-day * 1440 for day in range(60)]
    store = stocked_at(days, days)
    assert await before(store, T, known_at=at(-50 * 1440)) == at(-50 * 1440)
    assert store.asked <= 4


async def test_the_pair_before_is_found_behind_any_number_of_ticks_without_a_counterpart() -> None:
    """SV-20."""
    store = MemoryStore(FakeClock(T))
    lone = [at(-500 + 7 * n) for n in range(1, 60)]
    await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]) for tick in (at(-500), *lone)])
    await fill(store, [Ranks(tick, [(1, 1.0)]) for tick in (at(-500), *(tick + 1.5 * MINUTE for tick in lone))])
    assert await before(store, T) == at(-500)


async def test_the_pair_before_is_the_one_the_store_had_at_known_at() -> None:
    clock = FakeClock(at(-10))
    store = MemoryStore(clock)
    for minute, later in ((-10, 0), (-5, 60)):
        clock.now = at(minute + later)
        await fill(store, [Prices(at(minute), [(1, "A", "A", 1.0, 1.0)]), Ranks(at(minute), [(1, 1.0)])])
    assert await before(store, T) == at(-5)
    assert await before(store, T, known_at=at(54)) == at(-10)
    assert await before(store, T, known_at=at(55)) == at(-5)
    assert await before(store, T, known_at=at(-11)) is None
