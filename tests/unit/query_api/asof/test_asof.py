"""The as-of rule, against a reference that reads everything: the pair, the join, and the whole path from a store."""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lib.errors import StoreMalformed
from lib.schema import LARGEST_ID, PRICE, TIER_PLACES, VOLUME_RANK
from lib.snapshot import Snapshot
from lib.store import Store
from lib.store.sqlite import SqliteStore
from query_api.asof.absence import NoSnapshot
from query_api.asof.filters import NO_FILTERS, Filters
from query_api.asof.pair import nearest_marker, newest_pair, numbered_rows
from query_api.asof.top_list import ListQuery, TopList, TopListFinder
from query_api.long_work import LongWork
from tests.examples import examples
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api import reference
from tests.unit.query_api.market import (
    HOUR,
    MARKET_CAP,
    MAX_AGE,
    MINUTE,
    NEWEST,
    NOW,
    SECOND,
    CountingStore,
    Kind,
    Prices,
    Ranks,
    fill,
    large_market,
    marker,
    market_caps,
    snapshot,
)

T = NEWEST
DAY = timedelta(days=1)

# Around T in steps of 15 s, so that equal distances and exact bounds are common, and a few odd seconds.
TICKS = st.one_of(
    st.integers(-60, 8).map(lambda n: T + n * 15 * SECOND), st.integers(-900, 90).map(lambda n: T + n * SECOND)
)
SERIES_TICKS = st.lists(TICKS, max_size=8, unique=True)
SKEWS = st.sampled_from([0, 15, 30, 60, 120]).map(lambda seconds: seconds * SECOND)
AGES = st.sampled_from([15, 60, 120, 600, 900]).map(lambda seconds: seconds * SECOND)

IDS = st.one_of(st.integers(1, 12), st.sampled_from([None, 0, -3, LARGEST_ID]))
VOLUMES = st.one_of(
    st.sampled_from([0.0, 1.0, 5.0, 1e9, None, -1.0, float("nan"), float("inf")]), st.floats(0, 1e12, allow_nan=False)
)
USD = st.one_of(st.sampled_from([1.0, 1e-8, 0.0, -1.0, None, float("nan"), float("inf")]), st.floats(1e-12, 1e6))
NAMES = st.sampled_from(["BTC", "ETH", "LUNA", "LUNC", "", None])
PRICE_ROWS = st.lists(st.tuples(IDS, NAMES, NAMES, USD, VOLUMES), max_size=14)
RANK_ROWS = st.lists(st.tuples(IDS, VOLUMES), max_size=14)


def pair_at(prices: Sequence[datetime], ranks: Sequence[datetime], at: datetime = T, skew: timedelta = MINUTE):
    markers = [marker(PRICE, tick) for tick in prices] + [marker(VOLUME_RANK, tick) for tick in ranks]
    found = newest_pair(markers, at, max_skew=skew, max_age=MAX_AGE)
    return found and (found.price.tick, found.rank.tick)


@given(st.randoms(use_true_random=False), SERIES_TICKS, SERIES_TICKS, TICKS, SKEWS, AGES)
def test_the_pair_is_the_reference_s_pair(shuffler, prices, ranks, at, max_skew, max_age) -> None:
    markers = [marker(PRICE, tick) for tick in prices] + [marker(VOLUME_RANK, tick) for tick in ranks]
    markers += [marker(MARKET_CAP, tick) for tick in prices]
    shuffler.shuffle(markers)
    found = newest_pair(markers, at, max_skew=max_skew, max_age=max_age)
    expected = reference.pair_of(prices, ranks, at, max_skew, max_age)
    assert (found and (found.price.tick, found.rank.tick)) == expected
    if found:
        assert (found.price.series, found.rank.series) == ("price", "volume_rank")
        assert max(found.price.tick, found.rank.tick) <= at


def test_of_two_rank_ticks_equally_near_the_earlier_answers() -> None:
    assert pair_at([T - MINUTE], [T - 30 * SECOND, T - 90 * SECOND]) == (T - MINUTE, T - 90 * SECOND)


def test_a_rank_tick_after_the_instant_is_not_used_however_near() -> None:
    assert pair_at([T], [T + SECOND, T - 59 * SECOND]) == (T, T - 59 * SECOND)


def test_a_price_tick_without_a_rank_tick_gives_way_to_the_next_older() -> None:
    assert pair_at([T, T - 5 * MINUTE], [T - 5 * MINUTE]) == (T - 5 * MINUTE, T - 5 * MINUTE)


@pytest.mark.parametrize(("skew", "answers"), [(60, True), (61, False)])
def test_the_skew_is_allowed_to_its_last_second(skew: int, answers: bool) -> None:
    assert (pair_at([T], [T - skew * SECOND]) is not None) == answers


@pytest.mark.parametrize(("age", "answers"), [(600, True), (601, False)])
def test_the_max_age_is_allowed_to_its_last_second(age: int, answers: bool) -> None:
    tick = T - age * SECOND
    assert (pair_at([tick], [tick]) is not None) == answers


def test_the_nearest_of_no_markers_is_none() -> None:
    assert nearest_marker([], T, MINUTE) is None


@given(PRICE_ROWS, RANK_ROWS, st.integers(0, 20))
def test_numbered_rows_are_the_reference_s_rows(price_rows, rank_rows, limit) -> None:
    priced, ranked = reference.priced_of(price_rows), reference.ranked_of(rank_rows)
    price = snapshot(Prices(T, price_rows)).rows if priced else PRICE.empty()
    rank = snapshot(Ranks(T, rank_rows)).rows if ranked else VOLUME_RANK.empty()
    joined = rank.sort("rank").join(price, on="cmc_id", maintain_order="left").head(limit)
    found = numbered_rows(joined, np.arange(1, len(joined) + 1))
    assert found.to_dicts() == reference.joined(priced, ranked)[:limit]
    assert found["rank"].to_list() == list(range(1, len(found) + 1))


async def top_list_of(
    store: Store, at: datetime, *, limit: int = 5000, max_age: timedelta = MAX_AGE, max_skew: timedelta = MINUTE
) -> TopList | None:
    try:
        return await TopListFinder(store, max_skew=max_skew).find(at, ListQuery(limit, max_age))
    except NoSnapshot:
        return None


def assert_same(top: TopList | None, expected: reference.Answer | None) -> None:
    assert (top is None) == (expected is None)
    if top and expected:
        assert (top.pair.price.tick, top.pair.rank.tick) == (expected.price_time, expected.rank_time)
        assert (top.pair.price.assets, top.pair.rank.assets) == (expected.priced, expected.ranked)
        assert top.matched == expected.matched
        assert top.rows.to_dicts() == expected.rows


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path / "market.db", clock=FakeClock(T + MINUTE), durable=False)
    yield store
    await store.close()


@st.composite
def small_markets(draw: st.DrawFn) -> list[Prices | Ranks]:
    sent: list[Prices | Ranks] = []
    for tick in draw(st.lists(TICKS, max_size=4, unique=True)):
        priced = draw(PRICE_ROWS)
        sent += [Prices(tick, priced)] if reference.priced_of(priced) else []
    for tick in draw(st.lists(TICKS, max_size=4, unique=True)):
        ranked = draw(RANK_ROWS)
        sent += [Ranks(tick, ranked)] if reference.ranked_of(ranked) else []
    return sent


@settings(max_examples=examples(60), deadline=None)
@given(small_markets(), st.lists(TICKS, min_size=1, max_size=3), SKEWS, AGES, st.integers(1, 15))
async def test_the_list_of_any_small_market_is_the_reference_s(
    tmp_path_factory, sent, instants, max_skew, max_age, limit
) -> None:
    async with opened(tmp_path_factory.mktemp("small")) as store:
        await fill(store, sent)
        for at in instants:
            rule = {"max_skew": max_skew, "max_age": max_age, "limit": limit}
            assert_same(await top_list_of(store, at, **rule), reference.answer(sent, at, **rule))


@pytest.mark.parametrize(("seed", "assets"), [(1, 90), (2, 260), (3, 700), (4, 1400), (5, 3200)])
async def test_the_list_of_any_large_market_is_the_reference_s_at_every_limit(
    tmp_path: Path, seed: int, assets: int
) -> None:
    sent = large_market(seed, assets)
    everything = [place for last in TIER_PLACES for place in (last - 1, last, last + 1)]
    async with opened(tmp_path) as store:
        await fill(store, sent)
        for at, limits in (
            (T, [1, 2, 37, *everything, assets, 5000]),
            (T - MINUTE, [200, 777]),
            (T - 2 * MINUTE, [1000]),
        ):
            expected = reference.answer(sent, at, max_skew=MINUTE, max_age=MAX_AGE, limit=5000)
            assert expected
            for limit in limits:
                top = await top_list_of(store, at, limit=limit)
                assert top
                assert top.rows.to_dicts() == expected.rows[:limit]
                assert top.matched == expected.matched


async def test_lists_in_opposite_orders_answer_as_the_reference_does(tmp_path: Path) -> None:
    """The rank source's first are the price source's last: every price read by tier misses."""
    prices = Prices(T, [(id_, "S", "N", float(id_), 1e6 / id_) for id_ in range(1, 601)])
    ranks = Ranks(T, [(id_, float(id_)) for id_ in range(1, 601)])
    async with opened(tmp_path) as store:
        await fill(store, [prices, ranks])
        for limit in (1, 100, 101, 300, 599, 600, 601):
            expected = reference.answer([prices, ranks], T, max_skew=MINUTE, max_age=MAX_AGE, limit=limit)
            assert_same(await top_list_of(store, T, limit=limit), expected)


@pytest.mark.parametrize(
    ("updated_at", "shown"),
    [
        (T.timestamp() - 3600.25, "2026-11-17T13:36:59Z"),
        (0.0, "1970-01-01T00:00:00Z"),
        (None, None),
        (-1.0, None),
        (1794926220000.0, None),  # milliseconds
        (float("inf"), None),
    ],
)
async def test_a_price_has_the_time_at_which_its_source_updated_it(updated_at, shown) -> None:
    store = MemoryStore(FakeClock(T))
    await fill(store, [Prices(T, [(1, "BTC", "Bitcoin", 9e4, 1.0)], updated_at), Ranks(T, [(1, 1.0)])])
    top = await top_list_of(store, T)
    assert top
    assert top.rows["price_updated_at"].to_list() == [shown]


async def test_a_list_without_prices_for_its_first_ranks_reads_the_tiers_below(tmp_path: Path) -> None:
    prices = Prices(T, [(id_, "S", "N", float(id_), 1.0) for id_ in range(550, 601)])
    ranks = Ranks(T, [(id_, 1e6 - id_) for id_ in range(1, 601)])
    async with opened(tmp_path) as store:
        await fill(store, [prices, ranks])
        top = await top_list_of(store, T, limit=3)
    assert top
    assert top.rows.select("rank", "cmc_id", "source_rank").rows() == [(1, 550, 550), (2, 551, 551), (3, 552, 552)]


class TierStore(MemoryStore):
    """Keeps what was read."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.read: list[tuple[str, range | None, int]] = []
        self.fields: set[str] = set()

    async def rows_between(self, series, ticks, **selection):
        self.read.append((series.name, selection.get("tiers"), len(selection.get("ids") or ())))
        fields = selection.get("fields")
        self.fields |= set(series.fields if fields is None else fields)
        return await super().rows_between(series, ticks, **selection)


async def test_a_list_reads_only_its_own_tiers_and_the_few_prices_in_lower_tiers() -> None:
    store = TierStore(FakeClock(T))
    volumes = {id_: 1e6 - id_ for id_ in range(1, 401)}
    ranked = volumes | {400: 2e6}
    await fill(store, [Prices(T, [(i, "S", "N", 1.0, v) for i, v in volumes.items()]), Ranks(T, list(ranked.items()))])
    for limit, tiers in ((50, range(0, 1)), (100, range(0, 1)), (200, range(0, 2))):
        store.read.clear()
        await top_list_of(store, T, limit=limit)
        assert sorted(store.read, key=repr) == [("price", None, 1), ("price", tiers, 0), ("volume_rank", tiers, 0)]
    assert store.fields == {"usd", "updated_at", "volume_usd"}


class CountedThreads(LongWork):
    """Counts the pieces of work that its threads do."""

    works = 0

    async def in_thread(self, work):
        self.works += 1
        return await super().in_thread(work)


NAMED = Filters(symbols=("S1", "s2", "NONE"), ids=(1, 2**40))


@pytest.mark.parametrize("filters", [NO_FILTERS, Filters(exclude=("stablecoins",)), NAMED])
async def test_the_lists_of_many_instants_are_those_of_each_and_are_read_together(filters) -> None:
    """Two instants share a pair, two have none, and the pairs differ in assets and tiers."""
    store = CountingStore(FakeClock(NOW))
    for seed, newest in ((1, T - 40 * MINUTE), (2, T)):
        for sent in large_market(seed, 400, newest):
            kinds: Mapping[int, Kind] = {id_: (1e9, float(id_ % 3 == 0), 0.0) for id_, *_ in sent.rows if id_}
            await store.write(snapshot(replace(sent, kinds=kinds) if isinstance(sent, Prices) else sent))
    lists = TopListFinder(store, max_skew=MINUTE)
    instants = [T + second * SECOND for second in (-2540, -2500, -2460, -2400, -1500, -900, -130, -60, -20, 0)]
    store.asked = 0
    long_work = CountedThreads()
    together = await lists.find_each(instants, ListQuery(150, MAX_AGE, filters=filters), long_work)
    assert store.asked <= 12
    assert long_work.works >= 2, "the rows are joined in the lane's threads"
    assert [step.at for step in together if isinstance(step, NoSnapshot)] == instants[4:6]
    for step in together:
        if isinstance(step, TopList):
            alone = await lists.find(step.at, ListQuery(150, MAX_AGE, filters=filters))
            assert_frame_equal(step.rows, alone.rows)
            assert replace(step, rows=alone.rows) == alone


async def test_two_sides_without_a_common_asset_answer_with_an_empty_list(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, [Prices(T, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(T, [(2, 1.0)])])
        top = await top_list_of(store, T)
    assert top
    assert (len(top.rows), top.matched) == (0, 0)


async def test_a_coin_that_died_is_there_before_and_gone_after_and_a_renamed_one_shows_the_ticker_of_its_day(
    tmp_path: Path,
) -> None:
    died, later = T - 5 * MINUTE, T
    async with opened(tmp_path) as store:
        await fill(
            store,
            [
                Prices(died, [(1, "BTC", "Bitcoin", 1.0, 1.0), (4172, "LUNA", "Terra", 2.0, 1.0)]),
                Ranks(died, [(1, 1.0), (4172, 5.0)]),
                Prices(later, [(1, "XBT", "Bitcoin", 1.0, 1.0)]),
                Ranks(later, [(1, 1.0), (4172, 5.0)]),
            ],
        )
        then, now = await top_list_of(store, T - MINUTE), await top_list_of(store, T)
    assert then
    assert now
    assert then.rows["symbol"].to_list() == ["LUNA", "BTC"]
    assert now.rows["symbol"].to_list() == ["XBT"]
    assert now.rows["rank"].to_list() == [1]


async def test_a_later_snapshot_changes_no_answer_about_the_time_before_it(tmp_path: Path) -> None:
    sent = large_market(6, 300)
    async with opened(tmp_path) as store:
        await fill(store, sent)
        before = await top_list_of(store, T)
        await fill(store, [Prices(T + MINUTE, [(1, "NEW", "New", 1.0, 1.0)]), Ranks(T + MINUTE, [(1, 1.0)])])
        after = await top_list_of(store, T)
    assert before
    assert after
    assert after.pair == before.pair
    assert after.rows.equals(before.rows)


async def test_the_fields_of_an_extra_series_are_joined_and_null_where_it_has_no_value(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(
            store,
            [
                Prices(T, [(id_, f"S{id_}", "N", 1.0, 1.0) for id_ in (1, 2, 3)]),
                Ranks(T, [(1, 1.0), (2, 2.0), (3, 3.0)]),
            ],
        )
        await store.write(market_caps(T - MINUTE, [(1, 10.0, None), (3, 30.0, 3.5), (9, 90.0, 9.0)]))
        top = await TopListFinder(store, max_skew=MINUTE, extras=[MARKET_CAP]).find(T, ListQuery(10, MAX_AGE))
        far = await TopListFinder(store, max_skew=30 * SECOND, extras=[MARKET_CAP]).find(T, ListQuery(10, MAX_AGE))
    assert top.rows.select("cmc_id", "market_cap_usd", "supply").rows() == [
        (3, 30.0, 3.5),
        (2, None, None),
        (1, 10.0, None),
    ]
    assert top.extras[0].marker
    assert top.extras[0].marker.tick == T - MINUTE
    assert far.extras[0].marker is None
    assert far.rows.select("market_cap_usd", "supply").rows() == [(None, None)] * 3


async def test_an_extra_series_never_shows_a_tick_after_the_instant() -> None:
    store = MemoryStore(FakeClock(T + HOUR))
    await fill(store, [Prices(T, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(T, [(1, 1.0)])])
    await store.write(market_caps(T + 10 * SECOND, [(1, 10.0, 1.0)]))
    lists = TopListFinder(store, max_skew=MINUTE, extras=[MARKET_CAP])
    assert (await lists.find(T, ListQuery(1, MAX_AGE))).extras[0].marker is None
    assert (await lists.find(T + 10 * SECOND, ListQuery(1, MAX_AGE))).extras[0].marker is not None


def hour_of_minutes(start: datetime) -> list[Prices | Ranks]:
    sent: list[Prices | Ranks] = []
    for minute in range(0, 60, 5):
        tick = start + minute * MINUTE
        sent += [Prices(tick, [(1, "BTC", "Bitcoin", 1.0 + minute, 1.0)]), Ranks(tick, [(1, 1.0 + minute)])]
    return sent


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_past_the_retention_the_first_tick_of_the_hour_answers_with_resolution_1h(
    kind: str, tmp_path: Path
) -> None:
    clock = FakeClock(T)
    retention = timedelta(days=2)
    store = (
        SqliteStore(tmp_path / "market.db", clock=clock, retention=retention, durable=False)
        if kind == "sqlite"
        else MemoryStore(clock, retention=retention)
    )
    hour = (T - DAY).replace(minute=0)
    await fill(store, hour_of_minutes(hour))
    fresh = await top_list_of(store, hour + 52 * MINUTE)
    clock.move(days=3)
    not_yet_forgotten = await top_list_of(store, hour + 52 * MINUTE)
    await fill(store, [Prices(clock.now, [(1, "BTC", "Bitcoin", 9.0, 1.0)]), Ranks(clock.now, [(1, 1.0)])])
    old, soon, long_after = [await top_list_of(store, hour + minutes * MINUTE) for minutes in (52, 3, 61)]
    await store.close()
    assert fresh
    assert (fresh.resolution, fresh.pair.price.tick) == ("1m", hour + 50 * MINUTE)
    assert old
    assert (old.resolution, old.pair.price.tick, old.pair.rank.tick) == ("1h", hour, hour)
    assert old.rows["price_usd"].to_list() == [1.0]
    assert not_yet_forgotten
    assert not_yet_forgotten.pair == old.pair
    assert soon
    assert soon.resolution == "1h"
    assert long_after is None


async def reason(store: Store, at: datetime, max_age: timedelta = MAX_AGE) -> NoSnapshot:
    with pytest.raises(NoSnapshot) as refused:
        await TopListFinder(store, max_skew=MINUTE).find(at, ListQuery(1, max_age))
    return refused.value


def both(tick: datetime) -> list[Prices | Ranks]:
    return [Prices(tick, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])]


async def test_before_the_second_series_began_there_is_no_snapshot_yet() -> None:
    store = MemoryStore(FakeClock(T))
    await fill(store, both(T)[:1] + both(T - 2 * HOUR)[:1] + both(T - HOUR)[1:] + both(T)[1:])
    refused = await reason(store, T - 90 * MINUTE)
    assert (refused.first, refused.before) == (T - HOUR, None)
    assert "before the first snapshot" in str(refused)


async def test_the_nearest_pair_before_is_named_however_far_apart_its_ticks_are() -> None:
    """A pair, then hours of ranks alone, then hours of prices alone."""
    store = MemoryStore(FakeClock(T))
    start = T - 8 * HOUR
    await fill(store, both(start))
    await fill(store, [Ranks(start + (1 + n) * HOUR, [(1, 1.0)]) for n in range(3)])
    await fill(store, [Prices(start + (5 + n) * HOUR, [(1, "BTC", "Bitcoin", 1.0, 1.0)]) for n in range(3)])
    refused = await reason(store, T)
    assert refused.before
    assert (refused.before.price.tick, refused.before.rank.tick, refused.first) == (start, start, start)


async def test_the_nearest_pair_before_is_named_past_the_retention_too() -> None:
    clock = FakeClock(T)
    store = MemoryStore(clock, retention=DAY)
    await fill(store, both(T - HOUR))
    clock.move(days=2)
    refused = await reason(store, T + HOUR)
    assert refused.before
    assert refused.before.price.tick == T - HOUR


async def test_the_error_names_ticks_that_are_never_within_the_skew() -> None:
    store = MemoryStore(FakeClock(T))
    await fill(store, [Prices(T - 5 * MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(T - 2 * MINUTE, [(1, 1.0)])])
    refused = await reason(store, T)
    assert "no price tick has a rank tick within the skew" in str(refused)
    assert refused.before is None


@pytest.mark.parametrize(("missing", "message"), [("price", "of price"), ("volume_rank", "of volume_rank")])
async def test_a_side_that_was_never_stored_is_named(missing: str, message: str) -> None:
    store = MemoryStore(FakeClock(T))
    await fill(store, [each for each in both(T) if snapshot(each).series.name != missing])
    refused = await reason(store, T)
    assert str(refused) == f"nothing is stored yet {message}"
    assert (refused.before, refused.first) == (None, None)


@pytest.mark.parametrize("side", ["price", "volume_rank"])
async def test_rows_a_marker_names_that_are_not_there_are_an_error_and_not_a_shorter_list(
    tmp_path: Path, side: str
) -> None:
    async with opened(tmp_path) as store:
        await fill(store, large_market(7, 300))
        top = await top_list_of(store, T)
        assert top
        victim = top.rows["cmc_id"][120]
        with closing(sqlite3.connect(tmp_path / "market.db")) as damaged, damaged:
            assert damaged.execute(f'DELETE FROM "{side}" WHERE cmc_id = ?', (victim,)).rowcount
        with pytest.raises(StoreMalformed, match="rows their markers name"):
            await top_list_of(store, T)
        with pytest.raises(StoreMalformed, match="rows their markers name"):
            await top_list_of(store, T, limit=121)


@pytest.mark.parametrize("unpaired", [12, 3000])
async def test_the_nearest_pair_before_is_found_behind_any_number_of_ticks_without_a_counterpart(unpaired: int) -> None:
    clock = FakeClock(T)
    store = CountingStore(clock)
    start = T - unpaired * 5 * MINUTE - HOUR
    for tick in (start, *(start + n * 5 * MINUTE for n in range(1, unpaired + 1))):
        for series, at in ((PRICE, tick), (VOLUME_RANK, tick if tick == start else tick + 90 * SECOND)):
            store.snapshots[series.name, at] = Snapshot(series, marker(series, at), series.empty())
    refused = await reason(store, T)
    assert refused.before
    assert (refused.before.price.tick, refused.before.rank.tick, refused.first) == (start, start, start)
    assert store.asked < 60


async def test_a_withdrawn_tick_does_not_answer_from_then_on_and_answers_as_known_before(tmp_path: Path) -> None:
    clock = FakeClock(T)
    for store in (MemoryStore(clock), SqliteStore(tmp_path / "withdrawn.db", clock=clock, durable=False)):
        clock.now = T
        await fill(store, [*both(T - 2 * MINUTE), *both(T - MINUTE)])
        finder = TopListFinder(store, max_skew=MINUTE)
        first = await finder.find(T, ListQuery(1, MAX_AGE))
        clock.move(minutes=5)
        assert await store.withdraw(PRICE.name, T - MINUTE, T, why="multiplied") == [T - MINUTE]
        after = await finder.find(T, ListQuery(1, MAX_AGE))
        assert after.pair.price.tick == T - 2 * MINUTE
        assert after.known_at == clock()
        before = await finder.find(T, ListQuery(1, MAX_AGE, known_at=first.known_at))
        assert (before.pair.price.tick, before.known_at) == (T - MINUTE, first.known_at)
        assert await finder.find(T, ListQuery(1, MAX_AGE, known_at=after.known_at))
        clock.move(minutes=5)
        await store.undo_withdrawal(PRICE.name, T - MINUTE, T)
        restored = await finder.find(T, ListQuery(1, MAX_AGE))
        assert (restored.pair.price.tick, restored.known_at) == (T - MINUTE, clock())
        again = await finder.find(T, ListQuery(1, MAX_AGE, known_at=after.known_at))
        assert again.pair.price.tick == T - 2 * MINUTE
        await store.withdraw(VOLUME_RANK.name, T - HOUR, T, why="all of it")
        refused = await reason(store, T)
        assert "nothing is stored yet of volume_rank" in str(refused)
        await store.close()
