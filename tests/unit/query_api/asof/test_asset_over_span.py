"""A name over a span: SV-24, and digits as SV-23 has them."""

from datetime import datetime

import pytest

from lib.clock import isoformat
from lib.schema import PRICE
from query_api.asof.asset import AmbiguousTicker, NoAsset
from query_api.asof.asset_over_span import MOST_LISTS, MOST_TICKS, find_over_span, ticks_of_span
from tests.fakes import FakeClock
from tests.unit.query_api.market import FIRST, HOUR, MINUTE, CountingStore, Prices, Ranks, calling, fill

STOP = FIRST + 5 * HOUR


def at(minute: int) -> datetime:
    return FIRST + minute * MINUTE


async def market(names: dict[int, dict[int, str]]) -> CountingStore:
    """For each minute the tickers by id."""
    store = CountingStore(FakeClock(STOP))
    for minute, tickers in names.items():
        rows = [(id_, symbol, f"Asset {id_}", 1.0, 1.0) for id_, symbol in {**tickers, 5: "OTHER"}.items()]
        await fill(store, [Prices(at(minute), rows), Ranks(at(minute), [(row[0], 1.0) for row in rows])])
    return store


async def find(store: CountingStore, name: str, start: int, stop: int, **by) -> int:
    return await find_over_span(store, name, at(start), at(stop), now=STOP, **by)


async def test_a_ticker_is_that_of_the_one_asset_that_had_it_however_old_the_newest_list_is() -> None:
    store = await market({minute: {1: "BTC"} for minute in range(0, 60, 10)})
    assert await find(store, "btc", 0, 200) == 1
    async with calling(store, FakeClock(STOP)) as client:
        asked = f"from={isoformat(FIRST)}&to={isoformat(at(200))}&every=10m"
        by_ticker = (await client.get(f"/v1/assets/BTC/history?{asked}")).json()
        assert by_ticker == (await client.get(f"/v1/assets/1/history?{asked}")).json()
    assert by_ticker["coverage"]["present"] == 6


async def test_a_holder_that_changes_in_the_span_is_refused_with_the_times_of_each() -> None:
    store = await market({minute: {1 if minute < 20 else 2: "X"} for minute in range(40)})
    with pytest.raises(AmbiguousTicker) as refused:
        await find(store, "X", 0, 39)
    assert [(c["cmc_id"], c["first"], c["last"]) for c in refused.value.candidates] == [
        (1, isoformat(at(0)), isoformat(at(19))),
        (2, isoformat(at(20)), isoformat(at(39))),
    ]
    assert (await find(store, "X", 0, 19), await find(store, "X", 20, 39)) == (1, 2)
    async with calling(store, FakeClock(STOP)) as client:
        answer = await client.get(f"/v1/assets/X/history?from={isoformat(at(0))}&to={isoformat(at(39))}")
    assert answer.status_code == 409
    assert [candidate["cmc_id"] for candidate in answer.json()["candidates"]] == [1, 2]


async def test_a_holder_between_two_times_of_another_is_found() -> None:
    store = await market({minute: {2 if 17 <= minute <= 18 else 1: "X"} for minute in range(40)})
    with pytest.raises(AmbiguousTicker):
        await find(store, "X", 0, 39)


async def test_two_holders_at_the_same_time_are_refused() -> None:
    with pytest.raises(AmbiguousTicker):
        await find(await market({0: {1: "X", 2: "x"}}), "X", 0, 5)


async def test_a_holder_in_a_withdrawn_list_alone_is_none() -> None:
    store = await market({minute: {2 if minute == 20 else 1: "X"} for minute in (0, 10, 20, 30)})
    with pytest.raises(AmbiguousTicker):
        await find(store, "X", 0, 39)
    await store.withdraw(PRICE.name, at(20), at(20), why="another coin's names")
    assert await find(store, "X", 0, 39) == 1


async def test_a_ticker_that_nobody_had_takes_few_lists() -> None:
    store = await market({minute: {1: "BTC"} for minute in range(50)})
    store.asked = 0
    with pytest.raises(NoAsset, match="no asset had the ticker NOPE between"):
        await find(store, "NOPE", 0, 49)
    assert store.asked <= MOST_LISTS + 3
    with pytest.raises(NoAsset):
        await find(await market({}), "BTC", 0, 49)


async def test_the_list_before_the_span_counts_where_the_first_step_uses_it() -> None:
    assert await find(await market({0: {1: "BTC"}}), "BTC", 3, 4) == 1


async def test_digits_are_an_id_and_a_ticker_only_where_no_asset_has_the_id() -> None:
    store = await market({0: {42: "AB", 7: "42", 8: "888"}, 10: {7: "42", 8: "888"}})
    assert await find(store, "42", 0, 20) == 42
    assert await find(store, "42", 0, 20, by="symbol") == 7
    assert await find(store, "888", 0, 20) == 8
    assert await find(store, "999", 0, 20) == 999


async def test_of_a_long_span_a_bounded_number_of_ticks_is_looked_at() -> None:
    store = await market({0: {1: "BTC"}, 100: {1: "BTC"}})
    looked = await ticks_of_span(store, FIRST, STOP)
    assert looked == [at(0), at(100)]
    many = [at(minute) for minute in range(2 * MOST_TICKS + 5)]
    store.snapshots = {("price", tick): store.snapshots["price", at(0)] for tick in many}
    for tick in many:
        whole = store.snapshots["price", tick]
        store.snapshots["price", tick] = type(whole)(whole.series, _with_tick(whole.marker, tick), whole.rows)
    looked = await ticks_of_span(store, many[0], many[-1])
    assert (looked[0], looked[-1], len(looked) <= MOST_TICKS + 1) == (many[0], many[-1], True)


def _with_tick(marker, tick: datetime):
    return type(marker)(**{name: getattr(marker, name) for name in marker.__slots__} | {"tick": tick})
