"""Pairs of many instants: the same as for each alone, from fewer reads."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.features.prices.work import find_pairs
from query_api.long_work import LongWork
from tests.contract.snapshots import MINUTE, snapshot
from tests.examples import examples
from tests.fakes import HOUR, NOON, FakeClock, MemoryStore

SECOND = timedelta(seconds=1)
LATER = NOON + 12 * HOUR
TICKS = st.lists(st.integers(-120, 120), unique=True, max_size=12)
"""In half minutes."""


class CountingStore(MemoryStore):
    """Counts the reads of markers."""

    reads = 0

    async def markers(self, *span: datetime, **view: Any) -> list[Marker]:
        self.reads += 1
        return await super().markers(*span, **view)


class CountedSteps(LongWork):
    """Counts its steps."""

    steps = 0

    def step(self) -> AbstractAsyncContextManager[None]:
        self.steps += 1
        return super().step()


def described(answer: PairFound | NoSnapshot) -> tuple[Any, ...]:
    if isinstance(answer, NoSnapshot):
        return str(answer), answer.at, answer.first, answer.before and answer.before.price.tick
    return answer.pair.price.tick, answer.pair.rank.tick, answer.resolution


async def alone(finder: PairFinder, at: datetime, **rules: Any) -> PairFound | NoSnapshot:
    try:
        return await finder.find(at, **rules)
    except NoSnapshot as exc:
        return exc


@settings(max_examples=examples(40), deadline=None)
@given(
    prices=TICKS, ranks=TICKS, instants=st.lists(st.integers(-300, 1400), min_size=1, max_size=20),
    age=st.sampled_from([None, MINUTE, 10 * MINUTE, 3 * HOUR]), retention=st.sampled_from([30 * 24, 12]),
    known=st.sampled_from([None, 0, 30]),
)  # fmt: skip
async def test_each_instant_has_the_pair_that_it_has_alone(prices, ranks, instants, age, retention, known):
    clock = FakeClock(NOON)
    store = MemoryStore(clock, retention=timedelta(hours=retention))
    for series, ticks in ((PRICE, prices), (VOLUME_RANK, ranks)):
        for tick in ticks:
            clock.now = NOON + tick * MINUTE / 2 + (40 * MINUTE if tick % 5 == 0 else SECOND)
            await store.write(snapshot(series, NOON + tick * MINUTE / 2, [{}]))
    clock.now = LATER  # with the short retention it is 12 h after NOON: the half before it has only hours
    finder = PairFinder(store, max_skew=MINUTE)
    rules = {"max_age": age, "known_at": None if known is None else NOON + known * MINUTE}
    wanted = [NOON + at * MINUTE / 2 for at in instants]
    together = await find_pairs(finder, wanted, LongWork(), **rules)
    assert {at: described(answer) for at, answer in together.items()} == {
        at: described(await alone(finder, at, **rules)) for at in wanted
    }


async def test_a_rank_tick_is_not_used_for_an_instant_before_it():
    store = MemoryStore(FakeClock(NOON + HOUR))
    for series, ticks in ((PRICE, [0]), (VOLUME_RANK, [-30, 20])):
        for second in ticks:
            await store.write(snapshot(series, NOON + second * SECOND, [{}]))
    instants = [NOON + second * SECOND for second in (60, 10)]
    found = await find_pairs(PairFinder(store, max_skew=MINUTE), instants, LongWork(), max_age=None, known_at=None)
    assert [described(found[at])[1] for at in instants] == [NOON + 20 * SECOND, NOON - 30 * SECOND]


async def test_a_pair_is_looked_for_once_for_all_its_instants():
    store = CountingStore(FakeClock(NOON + HOUR))
    for minute in range(10):
        for series in (PRICE, VOLUME_RANK):
            await store.write(snapshot(series, NOON + minute * MINUTE, [{}]))
    instants = [NOON + second * SECOND for second in range(0, 600, 7)]
    long_work = CountedSteps()
    await find_pairs(PairFinder(store, max_skew=MINUTE), instants, long_work, max_age=10 * MINUTE, known_at=None)
    assert (long_work.steps, store.reads) == (10, 10)


async def test_a_long_gap_is_explained_once():
    store = CountingStore(FakeClock(NOON + 100 * HOUR))
    for series in (PRICE, VOLUME_RANK):
        await store.write(snapshot(series, NOON, [{}]))
    instants = [NOON + hour * HOUR for hour in (*range(-50, 0), *range(2, 100))]
    long_work = CountedSteps()
    found = await find_pairs(PairFinder(store, max_skew=MINUTE), instants, long_work, max_age=None, known_at=None)
    assert long_work.steps == 1
    assert "the nearest pair before is 2d3h old" in str(found[NOON + 51 * HOUR])
    assert "before the first snapshot" in str(found[NOON - HOUR])
