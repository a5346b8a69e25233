"""Filters: against a reference that looks at every asset, on a real store, and in the answers of the HTTP interface."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.store.sqlite import SqliteStore
from query_api.asof.filters import NO_FILTERS, Filters
from query_api.asof.top_list import ListQuery, TopList, TopListFinder
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api import reference
from tests.unit.query_api.market import MAX_AGE, MINUTE, NEWEST, NOW, Kind, PriceRow, Prices, Ranks, calling, fill

T = NEWEST
FLAG = st.sampled_from([0.0, 1.0, None])
KIND = st.tuples(st.sampled_from([1.0, 10.0, 100.0, None]), FLAG, FLAG)
FILTERS = st.builds(
    Filters,
    exclude=st.lists(st.sampled_from(["stablecoins", "wrapped"]), unique=True).map(lambda names: tuple(sorted(names))),
    max_volume_to_cap=st.sampled_from([None, 0.5, 1.0, 5.0]),
    symbols=st.lists(st.sampled_from(["btc", "ETH", "Twin", "NOPE"]), max_size=2).map(tuple),
    ids=st.lists(st.integers(1, 14), max_size=2).map(tuple),
)
ASSETS = st.lists(
    st.tuples(st.sampled_from(["BTC", "ETH", "TWIN", "twin", None]), st.sampled_from([0.0, 1.0, 5.0, 50.0]), KIND),
    min_size=1,
    max_size=12,
)


def lists_of(assets: list[tuple[str | None, float, Kind]]) -> tuple[Prices, Ranks]:
    kinds = {number: kind for number, (_, _, kind) in enumerate(assets, 1)}
    prices: list[PriceRow] = [(number, symbol, "N", 1.0, 1.0) for number, (symbol, _, _) in enumerate(assets, 1)]
    return Prices(T, prices, kinds=kinds), Ranks(
        T, [(number, volume) for number, (_, volume, _) in enumerate(assets, 1)]
    )


async def top_list_of(store: MemoryStore | SqliteStore, limit: int, filters: Filters) -> TopList:
    return await TopListFinder(store, max_skew=MINUTE).find(T, ListQuery(limit, MAX_AGE, filters=filters))


@given(ASSETS, FILTERS, st.integers(1, 14))
@settings(deadline=None)
async def test_a_filtered_list_is_the_reference_s(assets, filters, limit) -> None:
    store = MemoryStore(FakeClock(T))
    prices, ranks = lists_of(assets)
    await fill(store, [prices, ranks])
    whole = await top_list_of(store, 5000, NO_FILTERS)
    expected, counts = reference.filtered(prices, whole.rows.to_dicts(), filters, limit)
    top = await top_list_of(store, limit, filters)
    assert top.rows.to_dicts() == (whole.rows.head(limit).to_dicts() if filters == NO_FILTERS else expected)
    assert top.filtered is None if filters == NO_FILTERS else top.filtered and dict(top.filtered.counts) == counts
    assert top.matched == whole.matched


@given(ASSETS, FILTERS)
@settings(deadline=None)
async def test_what_is_named_is_in_the_list_left_out_by_a_filter_or_missing(assets, filters) -> None:
    store = MemoryStore(FakeClock(T))
    await fill(store, lists_of(assets))
    top = await top_list_of(store, 5000, filters)
    if filters != NO_FILTERS:
        assert top.filtered
        there = {symbol.lower() for symbol, _, _ in assets if symbol}
        names = [name for name in filters.symbols if name.lower() not in there]
        assert top.filtered.missing == (*names, *(str(id_) for id_ in filters.ids if id_ > len(assets)))
        if not filters.named:
            assert len(top.rows) + sum(top.filtered.counts.values()) == top.matched


async def test_a_filter_reads_on_tier_by_tier_until_enough_are_found(tmp_path: Path) -> None:
    """The first 700 of 1,200 by volume are stablecoins, and the two sources rank the other way round."""
    kinds: dict[int, Kind] = {id_: (1.0, float(id_ <= 700), 0.0) for id_ in range(1, 1201)}
    prices = Prices(T, [(id_, "S", "N", 1.0, float(id_)) for id_ in kinds], kinds=kinds)
    ranks = Ranks(T, [(id_, 1e6 - id_) for id_ in kinds])
    store = SqliteStore(tmp_path / "market.db", clock=FakeClock(T), durable=False)
    await fill(store, [prices, ranks])
    for limit in (1, 300, 301, 500, 5000):
        top = await top_list_of(store, limit, Filters(exclude=("stablecoins",)))
        shown = top.rows.select("rank", "cmc_id", "source_rank").rows()
        assert shown == [(n, 700 + n, 700 + n) for n in range(1, min(limit, 500) + 1)]
        assert top.filtered
        assert top.filtered.counts == {"stablecoins": 700, "unknown": 0}
    await store.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    await fill(
        store,
        lists_of(
            [
                ("USDT", 50.0, (100.0, 1.0, 0.0)),
                ("BTC", 40.0, (1000.0, 0.0, 0.0)),
                ("WBTC", 30.0, (90.0, 0.0, 1.0)),
                ("TWIN", 20.0, (None, 0.0, 0.0)),
                ("twin", 10.0, (5.0, 0.0, None)),
            ]
        ),
    )
    async with calling(store, clock) as caller:
        yield caller


FILTERED = [
    ("exclude=stablecoins", [2, 3, 4, 5], {"stablecoins": 1, "unknown": 0}, []),
    ("exclude=wrapped, stablecoins", [2, 4], {"stablecoins": 1, "wrapped": 1, "unknown": 1}, []),
    ("exclude=stablecoins&limit=1", [2], {"stablecoins": 1, "unknown": 0}, []),
    ("max_volume_to_cap=0.4", [2, 3], {"volume_to_cap": 2, "unknown": 1}, []),
    ("symbols=btc,TWIN,NOPE", [2, 4, 5], {}, ["NOPE"]),
    ("ids=3,99&symbols=USDT", [1, 3], {}, ["99"]),
    ("ids=1,2&exclude=stablecoins", [2], {"stablecoins": 1, "unknown": 0}, []),
]


async def test_a_list_counts_what_its_filters_left_out_and_keeps_the_rank_of_the_source(client, subtests) -> None:
    for query, ids, filtered, missing in FILTERED:
        with subtests.test(query=query):
            answer = (await client.get(f"/?{query}")).json()
            assert [row["cmc_id"] for row in answer["data"]] == [row["source_rank"] for row in answer["data"]] == ids
            assert [row["rank"] for row in answer["data"]] == list(range(1, len(ids) + 1))
            assert (answer["filtered"], answer["missing"]) == (filtered, missing)


async def test_the_headers_of_a_csv_name_its_filters(client) -> None:
    answer = await client.get("/?format=csv&exclude=stablecoins&symbols=BTC,ÉÉ&columns=rank,cmc_id,source_rank")
    assert answer.text == "rank,cmc_id,source_rank\r\n1,2,2\r\n"
    assert answer.headers["x-filtered"] == "stablecoins=0, unknown=0"
    assert answer.headers["x-missing"] == "%C3%89%C3%89"


async def test_without_filters_an_answer_does_not_mention_filters(client) -> None:
    answer = await client.get("/")
    assert not {"filtered", "missing"} & answer.json().keys()
    assert not {"x-filtered", "x-missing"} & answer.headers.keys()


WRONG_FILTERS = [
    ("exclude=coins", "cannot be excluded; did you mean stablecoins?; these can: stablecoins, wrapped"),
    ("exclude=", "has an empty item"),
    ("symbols=BTC,,ETH", "has an empty item"),
    ("ids=1,BTC", "'BTC' is no CoinMarketCap id"),
    ("max_volume_to_cap=0", "greater than 0"),
    ("max_volume_to_cap=inf", "finite number"),
]


async def test_a_wrong_filter_is_refused_with_a_valid_example(client, subtests) -> None:
    for query, why in WRONG_FILTERS:
        with subtests.test(query=query):
            answer = await client.get(f"/?{query}")
            assert answer.status_code == 422
            assert why in answer.json()["detail"]
            example = {answer.json()["parameter"]: answer.json()["example"]}
            assert (await client.get("/", params=example)).status_code == 200


async def test_an_instant_past_and_a_moving_one_differ_in_their_etag_by_filter(client) -> None:
    for when in (f"datetime={T:%Y-%m-%dT%H:%MZ}&", ""):
        tags = [(await client.get(f"/?{when}{query}")).headers["etag"] for query in ("", "ids=1", "ids=1,2", "ids=3")]
        assert len(set(tags)) == 4
