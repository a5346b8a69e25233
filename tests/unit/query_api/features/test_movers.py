"""Movers and single assets, compared with their two lists, one asset at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Unpack

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.clock import isoformat
from lib.snapshot import Marker
from lib.store import View
from query_api.features.movers.work import COLUMNS, movers
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import FIRST, MINUTE, NEWEST, NOW, Prices, Ranks, calling, fill, stocked

ROW = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["A", "B", None]),
        "name": st.just("N"),
        "price_usd": st.sampled_from([1e-8, 1.0, 2.0, 1e100]),
        "volume_24h_usd": st.sampled_from([0.0, 1.0, 5.0]),
        "source_rank": st.integers(1, 20),
    }
)
SIDE = st.dictionaries(st.integers(1, 8), ROW, max_size=6)
SCHEMA = {
    "rank": pl.Int64,
    "cmc_id": pl.Int64,
    "symbol": pl.String,
    "name": pl.String,
    "price_usd": pl.Float64,
    "volume_24h_usd": pl.Float64,
    "source_rank": pl.Int64,
}


def listed(side: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"rank": rank, "cmc_id": id_, **row} for rank, (id_, row) in enumerate(side.items(), 1)]


def expected(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One asset at a time."""
    old, new = ({row["cmc_id"]: row for row in rows} for rows in (before, after))
    order = [*(row["cmc_id"] for row in after), *(row["cmc_id"] for row in before if row["cmc_id"] not in new)]
    rows = []
    for id_ in order:
        was, now = old.get(id_), new.get(id_)
        row: dict[str, Any] = {"cmc_id": id_, "symbol": (now or was or {})["symbol"], "name": "N"}
        row["move"] = "stayed" if was and now else "entered" if now else "left"
        for side, one in (("from", was), ("to", now)):
            row[f"rank_{side}"] = one and one["rank"]
            row[f"source_rank_{side}"] = one and one["source_rank"]
            row[f"price_{side}_usd"] = one and one["price_usd"]
            row[f"volume_24h_{side}_usd"] = one and one["volume_24h_usd"]
        row["rank_change"] = was and now and was["rank"] - now["rank"]
        row["price_change_pct"] = was and now and (now["price_usd"] / was["price_usd"] - 1) * 100
        known = was and now and was["volume_24h_usd"]
        row["volume_24h_change_pct"] = (
            (now["volume_24h_usd"] / was["volume_24h_usd"] - 1) * 100 if was and now and known else None
        )
        rows.append({name: row[name] for name in COLUMNS})
    return rows


@given(SIDE, SIDE)
def test_each_asset_of_either_list_appears_once_with_its_values_in_both(before, after) -> None:
    one, two = listed(before), listed(after)
    found = movers(*(pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in (one, two)))
    assert found.to_dicts() == [pytest.approx(row) for row in expected(one, two)]


def lists_of(tick: Any, ids: dict[int, float]) -> list[Prices | Ranks]:
    names = {1: "BTC", 2: "TWIN", 3: "twin", 4: "42", 5: "ÉTH"}
    return [
        Prices(tick, [(id_, names[id_], f"Name {id_}", float(id_ + tick.minute), 1.0) for id_ in ids],
               kinds={1: (1e6, 0.0, None)}),
        Ranks(tick, list(ids.items())),
    ]  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    await fill(
        store,
        [*lists_of(FIRST, {1: 9.0, 2: 8.0, 3: 7.0}), *lists_of(NEWEST, {5: 10.0, 3: 9.0, 2: 8.0, 1: 7.0, 4: 1.0})],
    )
    await fill(store, [Prices(NEWEST - MINUTE, [(9, "LONE", "No rank", 1.0, 1.0)]), Ranks(NEWEST - MINUTE, [(8, 1.0)])])
    async with calling(store, clock) as caller:
        yield caller


async def test_entries_and_exits_are_those_of_the_top_asked_for(client) -> None:
    answer = (await client.get(f"/v1/movers?from={isoformat(FIRST)}&top=2")).json()
    assert [(row["cmc_id"], row["move"]) for row in answer["data"]] == [
        (5, "entered"), (3, "entered"), (1, "left"), (2, "left"),
    ]  # fmt: skip
    assert (answer["stayed"], answer["entered"], answer["left"]) == (0, 2, 2)
    assert (answer["from"]["price_time"], answer["to"]["price_time"]) == (isoformat(FIRST), isoformat(NEWEST))
    assert answer["data"][0]["price_from_usd"] is None
    whole = (await client.get(f"/v1/movers?from={isoformat(FIRST)}")).json()
    assert [(row["cmc_id"], row["rank_change"]) for row in whole["data"]] == [
        (5, None), (3, 1), (2, -1), (1, -3), (4, None),
    ]  # fmt: skip


async def test_movers_take_filters_and_come_as_csv(client) -> None:
    answer = await client.get(f"/v1/movers?from={isoformat(FIRST)}&symbols=twin&format=csv")
    lines = answer.text.split("\r\n")
    assert lines[0].startswith("cmc_id,symbol,name,move,rank_from,rank_to,rank_change,")
    assert [line.split(",")[:7] for line in lines[1:-1]] == [
        ["3", "twin", "Name 3", "stayed", "2", "1", "1"], ["2", "TWIN", "Name 2", "stayed", "1", "2", "-1"],
    ]  # fmt: skip
    assert answer.headers["x-from-price-time"] == isoformat(FIRST)


async def test_an_instant_without_a_pair_has_no_movers(client) -> None:
    answer = await client.get(f"/v1/movers?from={isoformat(FIRST + 20 * MINUTE)}")
    assert answer.status_code == 404
    assert answer.json()["nearest_before"]["price_time"] == isoformat(FIRST)


async def test_an_asset_has_its_row_of_the_list_and_the_further_fields_of_its_price(client) -> None:
    row = (await client.get("/")).json()["data"][3]
    asset = (await client.get("/v1/assets/1")).json()
    assert row["cmc_id"] == 1
    assert asset | row == asset
    assert (asset["market_cap_usd"], asset["stablecoin"], asset["wrapped"]) == (1e6, False, None)
    assert asset["price_time"] == isoformat(NEWEST)
    past = (await client.get(f"/v1/assets/1?datetime={isoformat(FIRST)}")).json()
    assert (past["rank"], past["price_usd"]) == (1, 1.0)


@pytest.mark.parametrize(("named", "id_"), [("btc", 1), ("BTC", 1), ("%C3%A9th", 5), ("4", 4)])
async def test_a_ticker_of_one_asset_names_it_in_any_case(client, named, id_) -> None:
    assert (await client.get(f"/v1/assets/{named}")).json()["cmc_id"] == id_


async def test_digits_are_an_id_and_the_assets_with_that_ticker_are_named() -> None:
    tickers = {42: "AB", 7: "42", 8: "888", 9: "00", 10: "3", 11: "3"}
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    await fill(
        store,
        [Prices(NEWEST, [(id_, ticker, f"N{id_}", 1.0, 1.0) for id_, ticker in tickers.items()]),
         Ranks(NEWEST, [(id_, 1.0) for id_ in [*tickers, 5]])],
    )  # fmt: skip
    async with calling(store, clock) as client:
        got = {name: (await client.get(f"/v1/assets/{name}")).json() for name in ("42", "888", "00", "ab", "3", "5")}
        by = {name: (await client.get(f"/v1/assets/{name}?by=symbol")).json() for name in ("42", "AB", "7")}
        wrong = await client.get("/v1/assets/42?by=id")
    assert {name: got[name]["cmc_id"] for name in ("42", "888", "00", "ab")} == {"42": 42, "888": 8, "00": 9, "ab": 42}
    assert got["42"]["also_ticker_of"] == [{"cmc_id": 7, "symbol": "42", "name": "N7"}]
    assert got["888"]["also_ticker_of"] == got["ab"]["also_ticker_of"] == []
    assert [row["cmc_id"] for row in got["3"]["candidates"]] == [10, 11]
    assert "cmc_id 5 in the price snapshot" in got["5"]["detail"]
    assert (by["42"]["cmc_id"], by["AB"]["cmc_id"]) == (7, 42)
    assert "no asset has the ticker 7" in by["7"]["detail"]
    assert (wrong.status_code, wrong.json()["example"]) == (422, "symbol")


async def test_a_shared_ticker_is_refused_with_its_candidates(client) -> None:
    answer = await client.get("/v1/assets/Twin")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert answer.json()["candidates"] == [
        {"cmc_id": 3, "symbol": "twin", "name": "Name 3", "source_rank": 2},
        {"cmc_id": 2, "symbol": "TWIN", "name": "Name 2", "source_rank": 3},
    ]
    assert answer.json()["detail"].endswith("ask for one by its cmc_id, of 3 (Name 3), 2 (Name 2)")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("43", "no asset has the cmc_id or ticker 43 in the snapshots of 2026-11-17T14:37:00Z"),
        ("No pe", "no asset has the ticker No pe in the snapshots of 2026-11-17T14:37:00Z; to search"),
        ("No pe", "; to search by name: /v1/assets?q=No%20pe"),
        ("NOPE/history", "no asset had the ticker NOPE between"),
        ("NOPE/history", "; to search by name: /v1/assets?q=NOPE"),
        ("9?datetime=2026-11-17T14:36:00Z", "no asset has the cmc_id 9 in the volume_rank snapshot"),
        ("8?datetime=2026-11-17T14:36:00Z", "no asset has the cmc_id 8 in the price snapshot"),
        ("1?datetime=2026-11-17T13:00:00Z", "before the first snapshot"),
    ],
)
async def test_the_error_for_an_absent_asset_has_the_reason(client, path, why) -> None:
    answer = await client.get(f"/v1/assets/{path}")
    assert answer.status_code == 404
    assert why in answer.json()["detail"]


async def test_the_known_at_of_movers_gives_the_same_bytes_again() -> None:
    clock = FakeClock(NOW)
    span = f"/v1/movers?from={isoformat(FIRST)}&to={isoformat(NEWEST)}"
    async with calling(stocked(clock), clock) as client:
        first = await client.get(span)
        known = first.json()["from"]["known_at"]
        assert known == first.json()["to"]["known_at"] == (await client.get(f"{span}&format=csv")).headers["x-known-at"]
        assert (await client.get(f"{span}&known_at={known}")).content == first.content


async def test_without_both_lists_the_error_is_always_that_of_from() -> None:
    class LateFirst(MemoryStore):
        """Later instants are answered sooner."""

        async def markers(
            self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
        ) -> list[Marker]:
            for _ in range(1000 if stop < NEWEST else 0):
                await asyncio.sleep(0)
            return await super().markers(start, stop, series=series, **view)

    clock = FakeClock(NOW)
    async with calling(LateFirst(clock), clock) as client:
        answer = await client.get("/v1/movers", params={"from": isoformat(FIRST), "to": isoformat(NEWEST)})
    assert answer.json()["requested_at"] == isoformat(FIRST)
