"""`POST /v1/prices`: each row as `/v1/assets/{id}` answers it alone, from one read of each snapshot."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Unpack

import httpx
import polars as pl
import pytest
from fastapi import Request
from starlette.exceptions import HTTPException

from lib.clock import isoformat
from lib.price_rows import MOST_ROWS, MOST_TIMES
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Selection, View
from query_api.http.body import MOST_BYTES, read_body
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import AFTER_GAP, FIRST, MINUTE, NEWEST, NOW, SECOND, Prices, Ranks, calling, fill

REASONS = {409: "ambiguous_ticker"}
ASSETS: list[int | str] = [1, "1", "BTC", "btc", "twin", 42, "42", "888", "NOPE", 99, 77, "ÄTH", "a/b", 4_000_000]


class CountingStore(MemoryStore):
    """Counts reads by kind."""

    rows_read = markers_read = 0

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        self.rows_read += 1
        return await super().rows(series, tick, **selection)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        self.markers_read += 1
        return await super().markers(start, stop, series=series, **view)


@pytest.fixture
async def store() -> CountingStore:
    """Minutes with a gap between; BTC is renamed, two assets share a ticker, one is on one side only."""
    store = CountingStore(clock := FakeClock(NOW))
    for minute in (0, 1, 2, 30, 36, 37):
        tick, clock.now = FIRST + minute * MINUTE, FIRST + minute * MINUTE + SECOND
        prices = [
            (1, "BTC" if minute < 30 else "XBT", "Bitcoin", 100 + minute / 10, 9.0),
            (2, "TWIN", "Two", 2.0, 5.0), (3, "twin", "Three", 1e-9, 6.0), (7, "42", "Seven", 7.0, 4.0),
            (42, "AB", "Forty-two", 42.0, 3.0), (8, "888", None, 8.0, 2.0), (9, "äth", "Nine", 9.0, 1.0),
            (10, "A/B", "Ten", 10.0, 1.0), (99, "NOVOL", "Unranked", 1.0, 1.0),
        ]  # fmt: skip
        await fill(store, [Prices(tick, prices, updated_at=tick.timestamp() - 20)])
        await fill(store, [Ranks(tick, [(id_, volume or 1.0) for id_, *_, volume in prices[:-1]] + [(77, 1.0)])])
    clock.now = NOW
    return store


@pytest.fixture
async def client(store) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(store, FakeClock(NOW)) as caller:
        yield caller


def row(at: datetime | str, asset: int | str | None) -> dict[str, Any]:
    return {"time": at if isinstance(at, str) else isoformat(at), "asset": asset}


async def answers(client: httpx.AsyncClient, rows: list[dict[str, Any]], query: str = "") -> dict[str, Any]:
    response = await client.post(f"/v1/prices{query}", json=rows)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert len(answer["data"]) == answer["count"] == len(rows)
    assert answer["answered"] + sum(answer["errors"].values()) == len(rows)
    return answer


@pytest.mark.parametrize("query", ["", "?by=symbol", "?max_age=30m", f"?known_at={isoformat(FIRST + 90 * SECOND)}"])
async def test_each_row_is_what_the_address_of_its_asset_answers(client, query) -> None:
    times = [FIRST - MINUTE, FIRST, FIRST + 90 * SECOND, FIRST + 20 * MINUTE, AFTER_GAP + SECOND, NEWEST + SECOND]
    rows = [row(at, asset) for at in times for asset in ASSETS]
    data = (await answers(client, rows, query))["data"]
    for asked, got in zip(rows, data, strict=True):
        if (isinstance(asked["asset"], int) and "symbol" in query) or asked["asset"] == "a/b":
            continue  # in an address, a whole number would be a ticker, and a slash another address
        alone = await client.get(
            f"/v1/assets/{asked['asset']}{query or '?'}&datetime={asked['time']}".replace("?&", "?")
        )
        one = alone.json()
        assert (got["time"], got["asset"]) == (asked["time"], asked["asset"])
        if alone.status_code == 200:
            shared = {"requested_at", "cmc_id", "symbol", "name", "price_usd", "price_updated_at", "price_time"}
            shared |= {"price_age_s", "rank_time", "resolution"}
            assert {name: got[name] for name in shared} == {name: one[name] for name in shared}
            assert [got["price_source"], got["rank_source"]] == [*one["sources"].values()]
            assert got["error"] is got["detail"] is got["candidates"] is None
        elif isinstance(asked["asset"], str):
            assert got["detail"] == one["detail"].partition("; to search by name: ")[0]
            assert got["candidates"] == one.get("candidates")
            assert got["error"] in ("no_snapshot", "unknown_asset", "ambiguous_ticker")
            assert (got["error"] == "no_snapshot") == ("nearest_before" in one)
            assert (got["price_time"] is None) == (got["error"] == "no_snapshot")
            assert got["price_usd"] is got["cmc_id"] is None


async def test_a_whole_number_is_an_id_and_never_a_ticker(client) -> None:
    found = (await answers(client, [row(NEWEST, 888), row(NEWEST, "888"), row(NEWEST, 42), row(NEWEST, "42")]))["data"]
    assert [each["cmc_id"] for each in found] == [None, 8, 42, 42]
    odd: list[int | str] = [2**63, 2**64 - 1, -1, 0, "9" * 18, "9" * 200]
    assert (await answers(client, [row(NEWEST, asset) for asset in odd]))["errors"] == {"unknown_asset": 6}
    assert found[0]["detail"] == f"no asset has the cmc_id 888 in the price snapshot of {isoformat(NEWEST)}"


async def test_a_row_that_its_snapshot_lacks_is_a_fault_of_the_store(client, store) -> None:
    whole = store.snapshots["price", NEWEST]
    store.snapshots["price", NEWEST] = replace(whole, rows=whole.rows.filter(pl.col("cmc_id") != 1))
    response = await client.post("/v1/prices", json=[row(NEWEST, 1)])
    assert (response.status_code, response.json()["title"]) == (503, "The store is unavailable")


async def test_a_shared_ticker_has_its_candidates_and_the_times_of_the_snapshots(client) -> None:
    (found,) = (await answers(client, [row(AFTER_GAP + SECOND, "Twin")]))["data"]
    assert [each["cmc_id"] for each in found["candidates"]] == [3, 2]
    assert (found["error"], found["price_time"], found["rank_time"]) == (
        "ambiguous_ticker",
        *[isoformat(AFTER_GAP)] * 2,
    )


async def test_a_row_without_an_answer_fails_no_other_and_is_counted(client) -> None:
    rows = [
        row(NEWEST, "XBT"), row("when?", "XBT"), row("2999-01-01", "XBT"), row("11/12/2026", 1), row(NEWEST, None),
        {"time": None, "asset": 1}, row(NEWEST, " "), row(NEWEST, "x" * 300), row(NEWEST, "BTC"), row(FIRST, "XBT"),
        row(FIRST - MINUTE, 1), {"time": 1794926220, "asset": 1}, row("tue 14:36", 1),
    ]  # fmt: skip
    answer = await answers(client, rows)
    assert answer["errors"] == {"bad_time": 4, "bad_asset": 3, "unknown_asset": 2, "no_snapshot": 1}
    assert [each["error"] is None for each in answer["data"]] == [True, *[False] * 10, True, True]
    assert "it is 2026-11-17T14:37:30Z here" in answer["data"][2]["detail"]
    assert "may be day and month" in answer["data"][3]["detail"]
    assert answer["data"][4]["detail"] == (
        "the row has no asset; write a CoinMarketCap id or a ticker, for example 1 or BTC"
    )


async def test_the_store_is_asked_once_for_each_snapshot_and_not_for_each_row(client, store) -> None:
    times = [FIRST + second * SECOND for second in range(0, 180)] + [NEWEST + second * SECOND for second in range(30)]
    rows = [row(at, asset) for at in times for asset in (1, 2, "a/b", "XBT", "BTC", "42")]
    assert (await answers(client, rows))["answered"] == 5 * len(times)
    assert store.rows_read == 4
    assert store.markers_read <= 4 + 2  # the three lanes may meet in the middle of a minute


async def test_what_was_stored_later_is_ignored_and_the_answer_s_known_at_repeats_it(client, store) -> None:
    rows = [row(FIRST + 5 * MINUTE, 1), row(FIRST + 20 * MINUTE, 1), row(FIRST - MINUTE, "BTC")]
    before = await client.post("/v1/prices", json=rows)
    again = f"/v1/prices?known_at={before.json()['known_at']}"
    assert (await client.post(again, json=rows)).json() == before.json()
    late = FIRST + 19 * MINUTE
    await fill(store, [Prices(late, [(1, "BTC", "Bitcoin", 5.0, 1.0)]), Ranks(late, [(1, 1.0)])])
    assert (await client.post("/v1/prices", json=rows)).json()["data"][1]["price_usd"] == 5.0
    assert (await client.post(again, json=rows)).json() == before.json()


async def test_now_is_the_whole_second_as_in_every_answer(client) -> None:
    (found,) = (await answers(client, [row("now", 1)]))["data"]
    assert (found["requested_at"], found["price_age_s"]) == (isoformat(NOW.replace(microsecond=0)), 30)


async def test_csv_in_and_csv_out(client) -> None:
    sent = f'\ufefftime,asset\r\n{isoformat(NEWEST)},XBT\r\n"{isoformat(NEWEST)}",3\r\nnow,=1+1\r\n,1\r\n'
    response = await client.post("/v1/prices?format=csv", content=sent.encode())
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["x-known-at"] == isoformat(NEWEST + SECOND)
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [each["price_usd"] for each in rows] == ["103.7", "0.000000001", "", ""]
    assert [each["error"] for each in rows] == ["", "", "unknown_asset", "bad_time"]
    assert rows[2]["asset"] == "'=1+1"
    assert (rows[0]["price_age_s"], rows[0]["price_time"]) == ("0.0", isoformat(NEWEST))


async def test_json_may_begin_with_the_mark_that_some_programs_write(client) -> None:
    sent = b"\xef\xbb\xbf" + json.dumps([row(NEWEST, 1)]).encode()
    assert (await client.post("/v1/prices", content=sent)).json()["answered"] == 1


async def test_ndjson_and_parquet_have_the_rows_of_the_csv(client) -> None:
    rows = [row(NEWEST, "XBT"), row("when?", 1), {"time": 1794926220, "asset": 3}]
    bodies = {name: await client.post(f"/v1/prices?format={name}", json=rows) for name in ("csv", "ndjson", "parquet")}
    lines = [json.loads(line) for line in bodies["ndjson"].text.splitlines()]
    assert list(lines[0]) == bodies["csv"].text.splitlines()[0].split(",")
    assert [line["price_usd"] for line in lines] == [103.7, None, 1e-9]
    frame = pl.read_parquet(io.BytesIO(bodies["parquet"].content))
    assert frame.select("price_usd", "error", "asset").rows() == [
        (103.7, None, "XBT"),
        (None, "bad_time", "1"),
        (1e-9, None, "3"),
    ]
    assert frame["price_time"].to_list() == [NEWEST, None, NEWEST]
    assert "known_at" in pl.read_parquet_metadata(io.BytesIO(bodies["parquet"].content))["topcoins"]


async def test_no_row_is_an_answer_without_rows(client) -> None:
    assert (await answers(client, []))["data"] == []
    text = (await client.post("/v1/prices?format=csv", content=b"time,asset\n")).text
    assert text.startswith("time,asset,requested_at,cmc_id,")
    assert text.count("\n") == 1


WRONG_BODIES = [
    (b"", "it must have the header time,asset, not ''"),
    (b"time,ticker\n", "it must have the header time,asset, not 'time,ticker'"),
    (b"time;asset\n", "not 'time;asset'"),
    (b"time,asset\n1\n", "another number of cells than its header in line 2"),
    (b"time,asset\n1,2,3\n", "another number of cells than its header in line 2"),
    (b'time,asset\n"1,2', "is neither JSON nor CSV"),
    (b"\xff\xfe", "is neither JSON nor CSV in UTF-8"),
    (b"{}", "is no list of rows"),
    (b"[NaN]", "is no JSON"),
    (b'[{"time": "now"}]', "an object of time and asset as row 0"),
    (b'[{"time": "now", "asset": 1}, {"time": "now", "asset": 1, "amount": 2}]', "as row 1"),
    (b'[{"time": true, "asset": 1}]', "in row 0"),
    (b'[{"time": "now", "asset": 1.5}]', "in row 0"),
    (json.dumps([{"time": "now", "asset": 1}] * (MOST_ROWS + 1)).encode(), f"more than {MOST_ROWS} rows"),
    (
        json.dumps([{"time": 1794926220 - n, "asset": 1} for n in range(MOST_TIMES + 1)]).encode(),
        f"{MOST_TIMES + 1} different times; a request may have {MOST_TIMES}",
    ),
]


async def test_a_body_of_another_form_or_with_too_much_in_it_is_refused(client, store, subtests) -> None:
    for body, why in WRONG_BODIES:
        with subtests.test(body=body):
            response = await client.post("/v1/prices", content=body)
            assert response.status_code == 422
            assert why in response.json()["detail"]
            assert response.json()["example"] == '[{"time": "2026-11-17T14:37:00Z", "asset": "BTC"}]'
            assert store.markers_read == 0


async def test_a_body_that_is_too_long_is_refused_also_without_a_length(client) -> None:
    most = MOST_BYTES["/v1/prices"]

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(most // 2**16 + 1):
            yield b" " * 2**16

    response = await client.post("/v1/prices", content=parts())
    assert response.status_code == 413
    assert f"longer than {most} bytes, the most that /v1/prices takes" in response.json()["detail"]
    assert (await client.post("/v1/prices", content=b"[" + b" " * (most - 2) + b"]")).status_code == 200


async def test_a_compressed_body_is_refused(client) -> None:
    response = await client.post("/v1/prices", content=b"x", headers={"content-encoding": "gzip"})
    assert (response.status_code, "without compression" in response.json()["detail"]) == (415, True)


async def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    async def receive() -> Any:
        await asyncio.Event().wait()  # for ever

    scope = {"type": "http", "path": "/v1/prices", "headers": []}
    with pytest.raises(HTTPException, match="within 0 s"):
        await read_body(Request(scope, receive), timedelta())


async def test_a_get_is_answered_with_the_method_that_is_allowed(client) -> None:
    response = await client.get("/v1/prices")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("query", ["?datetime=now", "?max_age=2d", "?by=id", "?known_at=x", "?format=xml"])
async def test_a_wrong_parameter_is_refused(client, query) -> None:
    assert (await client.post(f"/v1/prices{query}", json=[])).status_code == 422
