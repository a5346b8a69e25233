"""As-of over both stores: what is found by markers, tiers and ids is what reading everything gives."""

import itertools
from datetime import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.schema import TIER_PLACES
from query_api.asof.top_list import ListQuery, TopListFinder
from tests.examples import examples
from tests.fakes import HOUR, NOON
from tests.unit.query_api import reference
from tests.unit.query_api.market import MAX_AGE, MINUTE, fill, large_market

EDGES = [place for last in TIER_PLACES[:3] for place in (last - 1, last, last + 1)]
hours = itertools.count(2)
"""Each market has its own hour in the shared store."""


async def listed(lists: TopListFinder, at: datetime, limit: int) -> tuple[str, list[dict[str, object]], int]:
    top = await lists.find(at, ListQuery(limit, MAX_AGE))
    return top.resolution, top.rows.to_dicts(), top.matched


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    assets=st.integers(60, 620),
    limits=st.lists(st.one_of(st.sampled_from(EDGES), st.integers(1, 5000)), min_size=2, max_size=4),
)
async def test_the_list_by_tiers_is_that_of_reading_everything_of_the_minutes_and_of_the_hours(
    place, clock, seed, assets, limits
):
    newest = NOON + next(hours) * HOUR + 37 * MINUTE
    sent = large_market(seed, assets, newest)
    clock.now = newest + MINUTE
    store = place.open()
    lists = TopListFinder(store, max_skew=MINUTE)
    await fill(store, sent)
    for at in (newest, newest - MINUTE):
        expected = reference.answer(sent, at, max_skew=MINUTE, max_age=MAX_AGE, limit=5000)
        assert expected
        for limit in limits:
            assert await listed(lists, at, limit) == ("1m", expected.rows[:limit], expected.matched)
    await place.settle()
    clock.move(days=100)
    expected = reference.answer(sent[:2], newest, max_skew=MINUTE, max_age=HOUR, limit=5000)
    assert expected
    for limit in limits:
        assert await listed(lists, newest, limit) == ("1h", expected.rows[:limit], expected.matched)
    await store.close()
