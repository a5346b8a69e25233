"""One asset over time, and the ticks there are: the same of both stores, and only what has a marker."""

from datetime import timedelta

import polars as pl
import pytest

from lib.schema import ID, PRICE, VOLUME_RANK
from lib.store import Store
from tests.contract.snapshots import MINUTE, many, snapshot
from tests.fakes import HOUR, NOON

TICKS = [NOON + minute * MINUTE for minute in (0, 1, 5, 61)]
LONG_AGO, FAR_AHEAD = NOON - timedelta(days=365 * 50), NOON + timedelta(days=365 * 50)


async def fill(store: Store) -> None:
    for number, tick in enumerate(TICKS):
        rows = [{ID: 1, "symbol": f"S{number // 2}", "usd": float(number), "tier": number}, {ID: 2, "symbol": "TWO"}]
        await store.write(snapshot(PRICE, tick, rows if number != 2 else rows[1:]))


async def test_the_ticks_are_those_of_the_markers_of_one_series(store):
    assert await store.ticks("price", LONG_AGO, FAR_AHEAD) == []
    await fill(store)
    await store.write(many(VOLUME_RANK, 3, NOON + 2 * MINUTE))
    assert await store.ticks("price", LONG_AGO, FAR_AHEAD) == TICKS
    assert await store.ticks("price", TICKS[1], TICKS[2]) == TICKS[1:3]
    assert await store.ticks("price", TICKS[1] + MINUTE, TICKS[2] - MINUTE) == []
    assert await store.ticks("price", TICKS[2], TICKS[1]) == []


async def test_hourly_ticks_are_the_first_of_each_hour(store, place):
    await fill(store)
    await place.settle()
    assert await store.ticks("price", NOON, NOON + 2 * HOUR, resolution="1h") == [TICKS[0], TICKS[3]]


async def test_a_history_is_the_asset_s_rows_at_the_ticks_asked_for(store):
    await fill(store)
    found = await store.history(PRICE, 1, TICKS)
    expected = [
        (await store.rows(PRICE, tick, ids=[1])).select(
            pl.lit(tick).cast(pl.Datetime("us", "UTC")).alias("tick"), *PRICE.columns
        )
        for tick in TICKS
    ]
    assert found.equals(pl.concat(expected))
    assert found.schema == {"tick": pl.Datetime("us", "UTC"), **PRICE.columns}
    assert found["tick"].to_list() == [TICKS[0], TICKS[1], TICKS[3]]
    assert found["symbol"].to_list() == ["S0", "S0", "S1"]


@pytest.mark.parametrize("picked", [[], [0], [3, 0, 3], [2]])
async def test_a_history_has_no_tick_that_was_not_asked_for(store, picked):
    await fill(store)
    found = await store.history(PRICE.only(["usd"]), 1, [TICKS[n] for n in picked])
    assert found["tick"].to_list() == [TICKS[n] for n in sorted({*picked} - {2})]
    assert found.columns == ["tick", *PRICE.only(["usd"]).columns]


async def test_an_asset_that_never_was_has_an_empty_history(store):
    assert (await store.history(PRICE, 99, TICKS)).is_empty()
    await fill(store)
    found = await store.history(PRICE, 99, TICKS)
    assert (found.is_empty(), found.columns) == (True, ["tick", *PRICE.columns])


async def test_an_hourly_history_outlives_its_minutes(store, place):
    await fill(store)
    await place.settle()
    found = await store.history(PRICE, 1, [TICKS[0], TICKS[3]], resolution="1h")
    assert found["usd"].to_list() == [0.0, 3.0]
