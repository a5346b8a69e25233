"""The prices beside a list: as of each instant, with nothing guessed in a gap."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.clock import isoformat
from query_api.asof.top_list import TopListFinder
from query_api.features.sparklines.work import Sparklines, instants
from query_api.services import Services
from tests.fakes import FakeClock
from tests.unit.query_api.market import (
    AFTER_GAP,
    BEFORE_GAP,
    FIRST,
    HOUR,
    MAX_AGE,
    MINUTE,
    NEWEST,
    NO_SPOOLS,
    NOW,
    SECOND,
    CountingStore,
    Prices,
    Ranks,
    calling,
    fill,
    stocked,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def store(clock: FakeClock) -> CountingStore:
    return stocked(clock)


@pytest.fixture
async def client(store: CountingStore, clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(store, clock) as caller:
        yield caller


async def lines(client: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await client.get("/v1/sparklines", params=asked)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_each_price_is_that_of_the_newest_snapshot_not_after_its_instant(client) -> None:
    body = await lines(client, ids="1,32196", to=isoformat(NEWEST), span="37m", points=37)
    assert (body["from"], body["to"]) == (isoformat(FIRST), isoformat(NEWEST))
    assert body["at"][0] == body["from"]
    assert body["at"][-1] == body["to"]
    bitcoin, tiny = body["data"]
    assert (bitcoin["cmc_id"], tiny["cmc_id"]) == (1, 32196)
    for at, tick, usd, small in zip(body["at"], body["ticks"], bitcoin["prices"], tiny["prices"], strict=True):
        instant = datetime.fromisoformat(at)
        in_gap = BEFORE_GAP + MAX_AGE < instant < AFTER_GAP
        assert (tick is None, usd is None, small is None) == (in_gap,) * 3
        if not in_gap:
            expected = BEFORE_GAP if BEFORE_GAP < instant < AFTER_GAP else instant
            assert tick == isoformat(expected)
            assert usd == pytest.approx(92000 + expected.minute / 100)
            assert small == pytest.approx(1e-8 + expected.minute / 1e12)


async def test_an_asset_that_is_in_no_snapshot_is_null_throughout_and_in_its_place(client) -> None:
    body = await lines(client, ids="4,1", to=isoformat(NEWEST), span="5m", points=5)
    assert [line["cmc_id"] for line in body["data"]] == [4, 1]
    assert set(body["data"][0]["prices"]) == {None}
    assert None not in body["data"][1]["prices"]


async def test_each_price_is_that_of_the_list_of_its_instant(clock) -> None:
    """SV-22: the newest price tick has no rank tick, and one asset has no rank."""
    store = CountingStore(clock)
    await fill(store, [Prices(BEFORE_GAP, [(1, "A", "A", 1.0, 1.0), (2, "B", "B", 2.0, 1.0)])])
    await fill(store, [Ranks(BEFORE_GAP, [(1, 1.0)]), Prices(BEFORE_GAP + 2 * MINUTE, [(1, "A", "A", 9.0, 1.0)])])
    async with calling(store, clock) as client:
        body = await lines(client, ids="1,2", to=isoformat(BEFORE_GAP + 3 * MINUTE), span="1m", points=2)
        for at, first, second in zip(body["at"], *(line["prices"] for line in body["data"]), strict=True):
            top = (await client.get(f"/v1/top?datetime={at}")).json()
            assert [(row["cmc_id"], row["price_usd"]) for row in top["data"]] == [(1, first)]
            assert second is None
        assert set(body["data"][0]["prices"]) == {1.0}


async def test_the_cache_has_a_bound_and_no_ids_that_nobody_has(store, clock) -> None:
    """SV-8."""
    services = Services(store, clock, TopListFinder(store, max_skew=MINUTE), MAX_AGE, NO_SPOOLS)
    finder = Sparklines(services, cached_values=20)
    for first in range(1, 2000, 400):
        await finder.find(range(first, first + 400), FIRST, NEWEST, 30)
        assert finder.cache.currsize <= 20
    roomy = Sparklines(services)
    await roomy.find([1, 4, 1027, 1_000_001], BEFORE_GAP, BEFORE_GAP + MINUTE, 2)
    assert roomy.cache.currsize == 2 * 2


async def test_equal_requests_read_once(client, store) -> None:
    asked = {"ids": "1,1027", "to": isoformat(NEWEST), "span": "30m", "points": 30}
    await lines(client, **asked | {"ids": "825"})
    alone = store.asked
    store.asked = 0
    first, *others = await asyncio.gather(*(lines(client, **asked) for _ in range(20)))
    assert all(other == first for other in others)
    assert store.asked == alone


async def test_behind_a_gap_a_copy_is_kept_for_half_a_minute(clock) -> None:
    """SV-15: a backfill of 00:03 would change the instant of 00:04."""
    store = CountingStore(clock)
    for minute in (0, 5, 60):
        tick = FIRST + minute * MINUTE
        await fill(store, [Prices(tick, [(1, "A", "A", 1.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    clock.move(hours=2)
    async with calling(store, clock) as caller:
        for minute, kept in ((0, 86400), (4, 30)):
            to = isoformat(FIRST + minute * MINUTE + 59 * SECOND)
            answer = await caller.get(f"/v1/sparklines?ids=1&to={to}&span=59s&points=2")
            assert answer.headers["cache-control"] == f"public, max-age={kept}"


async def test_the_source_s_ranks_come_with_the_prices_when_they_are_asked_for(client) -> None:
    asked = {"ids": "1,99", "to": isoformat(NEWEST), "span": "37m", "points": 37}
    assert "ranks" not in (await lines(client, **asked))["data"][0]
    body = await lines(client, ranks=True, **asked)
    bitcoin, unranked = body["data"]
    assert set(unranked["ranks"]) == {None}
    for tick, usd, rank in zip(body["ticks"], bitcoin["prices"], bitcoin["ranks"], strict=True):
        assert (usd is None, rank) == ((True, None) if tick is None else (False, 2))


async def test_nothing_after_the_instant_is_used(client, store) -> None:
    before = await lines(client, ids="1", to=isoformat(BEFORE_GAP), span="10m")
    await fill(store, [Prices(BEFORE_GAP + MINUTE, [(1, "BTC", "Bitcoin", 7.0, 9e10)])])
    assert await lines(client, ids="1", to=isoformat(BEFORE_GAP), span="10m") == before


async def test_past_the_raw_retention_the_hourly_snapshots_answer(clock, store) -> None:
    await fill(store, [Prices(FIRST - HOUR, [(1, "BTC", "Bitcoin", 7.0, 9e10)]), Ranks(FIRST - HOUR, [(1, 9e10)])])
    clock.move(days=30, minutes=-30)  # the horizon lies in the gap's hour
    async with calling(store, clock) as client:
        body = await lines(client, ids="1", to=isoformat(NEWEST), span="90m", points=3)
    assert body["ticks"][0] == isoformat(FIRST - HOUR)
    assert body["data"][0]["prices"][0] == 7.0
    assert None not in body["ticks"]


async def test_a_list_that_moves_on_a_minute_reads_few_ticks_again(client, store, clock) -> None:
    asked = {"ids": "1,1027", "span": "30m", "points": 30}
    await lines(client, to=isoformat(NEWEST - MINUTE), **asked)
    store.asked = 0
    first = await lines(client, to=isoformat(NEWEST), **asked)
    once = store.asked
    async with calling(store, clock) as other:
        store.asked = 0
        assert await lines(other, to=isoformat(NEWEST), **asked) == first
        assert once < store.asked


async def test_a_copy_that_is_still_right_is_not_sent_again(client, clock) -> None:
    params = {"ids": "1", "to": isoformat(FIRST + 5 * MINUTE), "span": "5m"}
    answer = await client.get("/v1/sparklines", params=params)
    assert answer.headers["cache-control"] == "public, max-age=86400"
    again = await client.get("/v1/sparklines", params=params, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head("/v1/sparklines", params=params)
    assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])
    for other in ({}, {"to": isoformat(FIRST)}):
        unsettled = await client.get("/v1/sparklines", params={"ids": "1", **other})
        assert unsettled.headers["cache-control"] == "public, max-age=30"


WRONG_QUESTIONS = [
    ({"ids": "1,,2"}, "ids", "must be whole numbers"),
    ({"ids": "0"}, "ids", "must be whole numbers"),
    ({"ids": "1,x"}, "ids", "must be whole numbers"),
    ({"ids": "1,2,1"}, "ids", "names an id twice"),
    ({"ids": ",".join(map(str, range(1, 502)))}, "ids", "names 501: at most 500"),
    ({}, "ids", ""),
    ({"ids": "1", "span": "8d"}, "span", "must be from 1s to 7d"),
    ({"ids": "1", "span": "day"}, "span", "is not a duration"),
    ({"ids": "1", "points": "1000"}, "points", ""),
    ({"ids": "1", "to": "2999-01-01"}, "to", "in the future"),
    ({"ids": "1", "to": "0001-01-01"}, "to", "lies before 1970-01-02"),
]


async def test_a_wrong_question_is_named_with_a_valid_value(client, subtests) -> None:
    for asked, name, why in WRONG_QUESTIONS:
        with subtests.test(asked=asked, name=name):
            answer = await client.get("/v1/sparklines", params=asked)
            body = answer.json()
            assert (answer.status_code, body["parameter"]) == (422, name)
            assert why in body["detail"]
            assert body["example"]
            good = {"ids": "1", "to": "now"} | {name: body["example"]}
            assert (await client.get("/v1/sparklines", params=good)).status_code == 200


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=7)),
    st.integers(2, 96),
)
def test_the_instants_rise_from_start_to_stop_and_are_few(stop: datetime, span: timedelta, points: int) -> None:
    last = stop.replace(tzinfo=UTC)
    at = instants(last - span, last, points)
    assert (at[0], at[-1]) == (last - span, last)
    assert at == sorted(set(at))
    assert len(at) <= 2 * points + 2
