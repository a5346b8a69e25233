"""The HTTP interface, in process: what each address answers and refuses, and its metrics."""

import csv
import io
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from starlette.exceptions import HTTPException

from lib.clock import isoformat
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.ingest.missed import Cause, MissedTick, MissedTicks
from lib.ingest.spool import Spool
from lib.schema import PRICE
from lib.snapshot import Snapshot
from lib.version import VERSION
from query_api.http.content_type import choose_format
from query_api.http.problems import EXAMPLES
from tests.fakes import FakeClock
from tests.sample import sample_snapshot
from tests.unit.query_api.market import (
    AFTER_GAP,
    BEFORE_GAP,
    FIRST,
    MARKET_CAP,
    MINUTE,
    NEWEST,
    NOW,
    SECOND,
    CountingStore,
    Prices,
    Ranks,
    calling,
    fill,
    history,
    market_caps,
    snapshot,
    stocked,
)

PAST = "2026-11-17T14:05:00Z"
PAST_TICK = datetime.fromisoformat(PAST)
CANARY = "canary-4f1d-token-and-path"
PROBLEM = "application/problem+json"
ADDRESSES = [
    "/",
    "/v1/top",
    "/v1/status",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/nowhere",
]


class BrokenStore(CountingStore):
    """Fails with an unexpected error."""

    broken = True

    async def ready(self) -> None:
        if self.broken:
            raise RuntimeError(f"bug near {CANARY}")


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


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


def backfilled(store: CountingStore, tick: datetime, side: str) -> None:
    """Mark the snapshot of a tick as backfilled."""
    key = ({"price": "price", "rank": "volume_rank"}[side], tick)
    held = store.snapshots[key]
    store.snapshots[key] = replace(held, marker=replace(held.marker, backfilled=True))


def with_stored_at(each: Snapshot, at: datetime) -> Snapshot:
    return replace(each, marker=replace(each.marker, stored_at=at))


def table(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.text, newline=""), strict=True))


# The list.


async def test_both_addresses_give_the_same_list_of_both_formats(client) -> None:
    for query in ("", "?limit=2", "?format=csv", f"?datetime={PAST}", "?columns=rank&format=csv", "?nonsense=1"):
        one, two = await client.get(f"/{query}"), await client.get(f"/v1/top{query}")
        assert (one.status_code, one.content, one.headers) == (two.status_code, two.content, two.headers)


async def test_now_is_the_newest_pair_by_volume(client) -> None:
    answer = (await client.get("/")).json()
    assert answer["requested_at"] == "2026-11-17T14:37:30Z"
    assert (answer["price_time"], answer["rank_time"]) == ("2026-11-17T14:37:00Z",) * 2
    assert answer["assets"] == {"price": 6, "rank": 6, "matched": 5}
    assert (answer["limit"], answer["count"]) == (200, 5)
    assert [(row["rank"], row["cmc_id"], row["source_rank"]) for row in answer["data"]] == [
        (1, 825, 1), (2, 1, 2), (3, 1027, 3), (4, 5805, 5), (5, 32196, 6),
    ]  # fmt: skip


async def test_an_answer_shows_that_a_source_sent_the_values_of_the_tick_before(client, store) -> None:
    assert (await client.get("/?limit=2")).json()["unchanged"] == {"price": False, "rank": False}
    old = store.snapshots["price", NEWEST]
    store.snapshots["price", NEWEST] = replace(old, marker=replace(old.marker, unchanged=True))
    answer = (await client.get("/?limit=3")).json()
    assert answer["unchanged"] == {"price": True, "rank": False}


@pytest.mark.parametrize("path", ["/v1/top", "/v1/assets/1"])
async def test_an_answer_names_its_backfilled_snapshots(client, store, clock, path) -> None:
    for side, expected in (("price", [True, False]), ("rank", [True, True])):
        backfilled(store, PAST_TICK, side)
        clock.move(seconds=1)
        answer = (await client.get(f"{path}?datetime={PAST}")).json()
        assert [*answer["backfilled"].values()] == expected
    assert (await client.get(path)).json()["backfilled"] == {"price": False, "rank": False}


async def test_a_header_of_a_csv_names_its_backfilled_snapshots(client, store, clock) -> None:
    assert "x-backfilled" not in (await client.get(f"/?datetime={PAST}&format=csv")).headers
    backfilled(store, PAST_TICK, "rank")
    clock.move(seconds=1)
    assert (await client.get(f"/?datetime={PAST}&format=csv")).headers["x-backfilled"] == "rank"
    moved = await client.get(f"/v1/movers?from={PAST}&format=csv")
    assert moved.headers["x-from-backfilled"] == "rank"
    assert "x-to-backfilled" not in moved.headers


async def test_an_instant_of_the_past_is_answered_as_of_then(client) -> None:
    for text in (PAST, "2026-11-17T15:05:00 01:00", "2026-11-17T15:05:00%2B01:00", "now-32m30s", "1794924300"):
        answer = (await client.get(f"/?datetime={text}&limit=2")).json()
        assert answer["price_time"] == answer["requested_at"] == PAST
        assert answer["data"][1]["price_usd"] == 92000.05


async def test_the_csv_has_the_three_columns_and_its_times_in_headers(client) -> None:
    answer = await client.get(f"/?format=csv&datetime={PAST}&limit=5")
    assert table(answer) == [
        ["Rank", "Symbol", "Price USD"],
        ["1", "USDT", "1.05"],
        ["2", "BTC", "92000.05"],
        ["3", "ETH", "3000.05"],
        ["4", "", "20.05"],
        ["5", "'=SUM(A1)", "0.000000010005000000000001"],
    ]
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    price, rank = [each.marker for each in history() if isoformat(each.tick) == PAST]
    for_browsers = {"x-content-type-options", "x-frame-options"}
    headers = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    assert {name: value for name, value in headers.items() if name not in for_browsers} == {
        "x-requested-at": PAST,
        "x-price-time": PAST,
        "x-rank-time": PAST,
        "x-price-source": "coinmarketcap",
        "x-rank-source": "coindesk",
        "x-price-snapshot": price.hash,
        "x-rank-snapshot": rank.hash,
        "x-known-at": isoformat(price.visible_since),
        "x-resolution": "1m",
    }


async def test_the_columns_of_a_csv_can_be_chosen(client) -> None:
    answer = await client.get("/?format=csv&columns=cmc_id, name&limit=1")
    assert table(answer) == [["cmc_id", "name"], ["825", "Tether, USDt"]]


async def test_the_fields_of_an_extra_series_are_in_the_list_and_can_be_columns(store, clock) -> None:
    await store.write(market_caps(NEWEST, [(1, 1.8e12, 19e6), (825, 1.2e11, None)]))
    async with calling(store, clock, extras=[MARKET_CAP]) as client:
        listed = (await client.get("/?limit=3")).json()
        columns = await client.get("/?limit=3&format=csv&columns=symbol,supply")
        status = (await client.get("/v1/status")).json()
        earlier = (await client.get(f"/?limit=1&datetime={PAST}")).json()
    expected = {"time": isoformat(NEWEST), "source": "coingecko", "assets": 2}
    assert listed["extras"]["market_cap"].items() >= expected.items()
    assert [row["market_cap_usd"] for row in listed["data"]] == [1.2e11, 1.8e12, None]
    assert table(columns) == [["symbol", "supply"], ["USDT", ""], ["BTC", "19000000.0"], ["ETH", ""]]
    assert status["series"]["market_cap"]["assets"] == 2
    assert earlier["extras"] == {"market_cap": None}
    assert earlier["data"][0]["market_cap_usd"] is None


# Parameters.


async def test_the_limit_is_a_most(client, subtests) -> None:
    for limit, count in [(1, 1), (5, 5), (6, 5), (5000, 5)]:
        with subtests.test(limit=limit):
            answer = (await client.get(f"/?limit={limit}")).json()
            assert (answer["limit"], answer["count"]) == (limit, count)


BAD_VALUES = [
    ("limit=0", "limit", "0"),
    ("limit=5001", "limit", "5001"),
    ("limit=-1", "limit", "-1"),
    ("limit=two", "limit", "two"),
    ("limit=1.5", "limit", "1.5"),
    ("limit=", "limit", ""),
    ("limit=1&limit=1", "limit", "1"),
    ("datetime=tomorrow", "datetime", "tomorrow"),
    ("datetime=", "datetime", ""),
    ("datetime=2026-02-29", "datetime", "2026-02-29"),
    ("datetime=2026-11-18", "datetime", "2026-11-18"),
    ("datetime=1794926160000", "datetime", "1794926160000"),
    (f"datetime={'9' * 300}", "datetime", "9" * 200),
    ("datetime=now&datetime=now", "datetime", "now"),
    ("format=xml", "format", "xml"),
    ("format=", "format", ""),
    ("max_age=0s", "max_age", "0s"),
    ("max_age=25h", "max_age", "25h"),
    ("max_age=10", "max_age", "10"),
    ("max_age=-10m", "max_age", "-10m"),
    ("max_age=999999999w", "max_age", "999999999w"),
    ("columns=rank", "columns", "rank"),
    ("format=csv&columns=", "columns", ""),
    ("format=csv&columns=rank,,symbol", "columns", "rank,,symbol"),
    ("format=csv&columns=rank,rank", "columns", "rank,rank"),
    ("format=csv&columns=market_cap", "columns", "market_cap"),
]


async def test_a_bad_value_is_answered_with_its_name_its_value_and_a_valid_example(client, subtests) -> None:
    for query, parameter, value in BAD_VALUES:
        with subtests.test(query=query):
            body = problem(await client.get(f"/?{query}"), 422)
            assert (body["parameter"], body["value"]) == (parameter, value)
            assert parameter in body["detail"]
            assert body["example"].removeprefix("format=csv&columns=") in EXAMPLES.values()
            assert len(body["detail"]) < 600


ELSEWHERE = {"last_event_id", "span", "points", "ranks", "every", "fill", "top", "id", "by", "names", "q"}
"""Parameters of other addresses; their tests are elsewhere."""


async def test_every_example_an_error_gives_is_valid(client) -> None:
    for name, example in EXAMPLES.items():
        if name in ELSEWHERE:
            continue
        own, others = ("/v1/gaps", {}) if name in ("from", "to") else ("/", {"format": "csv"})
        answer = await client.get(own, params=others | {name: example})
        assert answer.status_code == 200, (name, answer.text)
    assert (await client.get("/?format=csv&columns=symbol")).status_code == 200


async def test_an_unknown_parameter_is_an_error_and_not_ignored(client, subtests) -> None:
    for path in ["/", "/v1/top", "/v1/status", "/v1/gaps", "/healthz", "/readyz", "/metrics"]:
        with subtests.test(path=path):
            body = problem(await client.get(f"{path}?limt=5"), 422)
            assert (body["parameter"], body["value"]) == ("limt", "5")
            assert ("limit, datetime, format, max_age, known_at, columns" in body["detail"]) == (
                path in ("/", "/v1/top")
            )


MISSPELT = [
    ("/?limt=5", "limit=200"),
    ("/?Limit=5", "limit=200"),
    ("/?column=5", "format=csv&columns=symbol"),
    ("/v1/movers?tops=5", "top=200"),
    ("/v1/gaps?form=5", "from=now-24h"),
    ("/healthz?x=5", "/healthz"),
]


async def test_an_unknown_parameter_is_answered_with_the_one_most_like_it(client, subtests) -> None:
    for asked, example in MISSPELT:
        with subtests.test(asked=asked):
            assert problem(await client.get(asked), 422)["example"] == example


async def test_a_parameter_that_is_missing_is_called_required(client) -> None:
    body = problem(await client.get("/v1/sparklines"), 422)
    assert (body["parameter"], body["value"], body["example"]) == ("ids", "", "1,1027")
    assert body["detail"] == "ids=: is required"


async def test_a_max_age_reaches_over_a_gap(client) -> None:
    at = "datetime=2026-11-17T14:25:00Z"
    assert (await client.get(f"/?{at}&max_age=14m59s")).status_code == 404
    assert (await client.get(f"/?{at}&max_age=15m")).json()["price_time"] == isoformat(BEFORE_GAP)


# No snapshot.


NO_SNAPSHOTS = [
    ("2026-11-17T13:59:59Z", None, "before the first snapshot"),
    ("0001-01-01", None, "before the first snapshot"),
    ("1000000000", None, "before the first snapshot"),
    ("2026-11-17T14:25:00Z", BEFORE_GAP, "is 15m old, older than the 10m asked for; the time between is a gap"),
    ("now-7m30.5s", BEFORE_GAP, "a gap"),
]


async def test_the_error_for_an_instant_without_a_snapshot_has_the_reason_and_the_nearest_pair(
    client, subtests
) -> None:
    for text, before, words in NO_SNAPSHOTS:
        with subtests.test(text=text):
            body = problem(await client.get("/", params={"datetime": text}), 404)
            assert words in body["detail"]
            assert body["first"] == isoformat(FIRST)
            both = before and {"price_time": isoformat(before), "rank_time": isoformat(before)}
            assert body["nearest_before"] == both


async def test_now_long_after_the_last_snapshot_is_too_old(client, clock) -> None:
    clock.move(hours=3)
    body = problem(await client.get("/"), 404)
    assert "is 3h30s old, older than the 10m asked for" in body["detail"]
    assert body["nearest_before"]["price_time"] == isoformat(NEWEST)


async def test_the_error_of_an_empty_store_states_that_nothing_is_stored_yet(clock) -> None:
    async with calling(CountingStore(clock), clock) as client:
        for path in ("/", f"/?datetime={PAST}", "/?datetime=0001-01-01"):
            body = problem(await client.get(path), 404)
            assert "nothing is stored yet" in body["detail"]
            assert (body["nearest_before"], body["first"]) == (None, None)


# Which format.


ACCEPTS = [
    (None, "json"),
    ("", "json"),
    ("*/*", "json"),
    ("application/json", "json"),
    ("application/*", "json"),
    ("text/csv", "csv"),
    ("text/*", "csv"),
    ("TEXT/CSV", "csv"),
    ("text/csv; header=present", "csv"),
    ("text/csv, application/json", "json"),
    ("text/csv, application/json;q=0.9", "csv"),
    ("application/json;q=0.2, text/csv;q=0.3", "csv"),
    ("text/csv;q=0.1, */*;q=0.5", "json"),
    ("application/json;q=0, */*", "csv"),
    ("application/xhtml+xml,*/*;q=0.8", "json"),
    ("image/png, text/*;q=0.1", "csv"),
    ("application/json; q=0.5 , text/csv ;q=0.7", "csv"),
    ("application/json;q=nan, text/csv", "csv"),
]


async def test_the_accept_header_decides_the_format(client, subtests) -> None:
    for accept, kind in ACCEPTS:
        with subtests.test(accept=accept):
            headers = {} if accept is None else {"accept": accept}
            answer = await client.get("/", headers=headers)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith({"json": "application/json", "csv": "text/csv"}[kind])
            assert answer.headers["vary"].split(", ")[0] == "Accept"


async def test_an_accept_header_of_two_lines_is_one_list(client) -> None:
    answer = await client.get("/", headers=[("accept", "image/png"), ("accept", "text/csv")])
    assert answer.headers["content-type"].startswith("text/csv")


async def test_the_error_for_an_unknown_format_lists_the_formats(client, subtests) -> None:
    for accept in ["image/png", "application/json;q=0", "image/*, text/csv;q=0", "nonsense", "*/*;q=0"]:
        with subtests.test(accept=accept):
            body = problem(await client.get("/", headers={"accept": accept}), 406)
            assert "application/json, text/csv, application/x-ndjson" in body["detail"]


async def test_the_format_parameter_counts_in_any_case_and_above_the_accept_header(client, subtests) -> None:
    for name in ["csv", "CSV", "Csv", "json", "JSON", "jSoN"]:
        with subtests.test(name=name):
            answer = await client.get(f"/?format={name}", headers={"accept": "text/html"})
            assert answer.status_code == 200
            assert name.lower() in answer.headers["content-type"]


@given(st.one_of(st.text(max_size=40), st.from_regex(r"\A(([a-z*]{0,5}/[a-z*]{0,5})(;q=[0-9.na]{0,5})?, ?){0,4}\Z")))
def test_any_accept_header_is_json_csv_or_not_acceptable(accept) -> None:
    with suppress(HTTPException):
        assert choose_format(None, accept) in ("json", "csv")


# HEAD, caching.


async def test_head_has_the_headers_of_get_and_no_body(client, subtests) -> None:
    for query in ["/", "/v1/top", f"/?datetime={PAST}", "/?format=csv", "/?limit=0", "/?datetime=2026-11-17T14:25:00Z"]:
        with subtests.test(query=query):
            got, head = await client.get(query), await client.head(query)
            assert (head.status_code, head.headers, head.content) == (got.status_code, got.headers, b"")
            plain = await client.head(query, headers={"accept-encoding": "identity"})
            assert int(plain.headers["content-length"]) == len(got.content)


async def test_the_past_has_a_strong_etag_of_its_bytes_and_is_kept_for_a_day(client, clock) -> None:
    first = await client.get(f"/?datetime={PAST}")
    clock.move(minutes=1)
    again, other = await client.get(f"/?datetime={PAST}"), await client.get(f"/?datetime={PAST}&limit=1")
    assert first.content == again.content
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}(-gzip)?"', first.headers["etag"])
    assert first.headers["cache-control"] == "public, max-age=86400"


@pytest.mark.parametrize("path", ["/v1/top?", "/v1/assets/1?", f"/v1/movers?from={PAST}&"])
async def test_a_past_behind_a_gap_or_from_a_backfill_is_not_kept_for_long(client, store, path) -> None:
    name = "to" if "movers" in path else "datetime"
    kept = {
        text: (await client.get(f"{path}{name}={text}")).headers["cache-control"]
        for text in ("2026-11-17T14:10:59Z", "2026-11-17T14:11:00Z")
    }
    assert [*kept.values()] == ["public, max-age=86400", "public, max-age=30"]
    backfilled(store, PAST_TICK, "rank")
    assert (await client.get(f"{path}{name}={PAST}")).headers["cache-control"] == "public, max-age=30"


async def test_what_was_known_some_time_ago_is_kept_as_what_will_not_change(client, clock) -> None:
    answer = await client.get("/?datetime=2026-11-17T14:15:00Z&known_at=2026-11-17T14:20:00Z")
    assert answer.headers["cache-control"] == "public, max-age=86400, immutable"
    for known_at in ("now", isoformat(NOW)):
        answer = await client.get(f"/?datetime=2026-11-17T14:15:00Z&known_at={known_at}")
        assert "immutable" not in answer.headers["cache-control"]


async def test_the_two_formats_of_one_instant_have_different_etags(client) -> None:
    tags = {
        (await client.get(f"/?datetime={text}&format={kind}")).headers["etag"]
        for kind in ("json", "csv")
        for text in (PAST, "now")
    }
    assert len(tags) == 4


async def test_now_has_a_weak_etag_that_changes_with_the_tick_and_is_kept_until_the_next(client, store, clock) -> None:
    first = await client.get("/")
    clock.move(seconds=5)
    same = await client.get("/?datetime=now")
    assert first.headers["etag"] == same.headers["etag"]
    assert re.fullmatch(r'W/"[0-9a-f]{32}"', first.headers["etag"])
    assert first.headers["cache-control"] == "public, max-age=29"  # from the end of 14:37:30
    assert same.headers["cache-control"] == "public, max-age=24"
    clock.move(seconds=25)
    tick = NEWEST + MINUTE
    await fill(store, [Prices(tick, [(1, "BTC", "Bitcoin", 5.0, 1.0)]), Ranks(tick, [(1, 1.0)])])
    assert (await client.get("/")).headers["etag"] != first.headers["etag"]


async def test_the_weak_etag_of_now_differs_with_each_parameter_of_the_list(client) -> None:
    queries = (
        "",
        "limit=1",
        "limit=2",
        "symbols=BTC",
        "format=csv",
        "format=csv&columns=name",
        "format=csv&columns=symbol",
    )
    tags = {query: (await client.get(f"/?{query}")).headers["etag"] for query in queries}
    assert len({*tags.values()}) == len(queries), tags


async def test_what_may_still_change_is_not_kept_for_long(client, clock) -> None:
    for text in (isoformat(NOW), "2026-11-17T14:37:00Z", "2026-11-17T14:36:59Z", "2026-11-17T14:30:00Z"):
        kept = (await client.get("/", params={"datetime": text})).headers["cache-control"]
        assert 1 <= int(kept.removeprefix("public, max-age=")) <= 60


async def test_an_answer_becomes_final_an_interval_after_its_greatest_age(client) -> None:
    """Until then a tick that was fetched in time may still be on its way to the store."""
    answers = [await client.get(f"/?datetime=2026-11-17T14:{minute}:00Z&max_age=1m") for minute in (35, 36)]
    assert [each.headers["cache-control"] for each in answers] == ["public, max-age=86400", "public, max-age=30"]


async def test_an_overdue_tick_may_be_asked_for_each_second(client, clock) -> None:
    clock.move(minutes=2)
    assert (await client.get("/")).headers["cache-control"] == "public, max-age=0"


@pytest.mark.parametrize("path", ["/", "/v1/assets/1", f"/v1/movers?from={PAST}&max_age=1h"])
async def test_now_is_never_kept_past_the_next_tick(path) -> None:
    interval, clock = timedelta(seconds=2), FakeClock(NEWEST)
    store = CountingStore(clock)
    for sent in (Prices(NEWEST, [(1, "BTC", "Bitcoin", 5.0, 1.0)]), Ranks(NEWEST, [(1, 1.0)])):
        await store.write(snapshot(sent, interval=interval))
    for each in history()[8:10]:
        await store.write(each)
    async with calling(store, clock) as client:
        for n in range(20):
            clock.now = NEWEST + n * timedelta(milliseconds=100)
            cached_until = clock.now.replace(microsecond=0) + timedelta(seconds=1)
            kept = (await client.get(path)).headers["cache-control"].removeprefix("public, max-age=")
            assert cached_until + timedelta(seconds=int(kept)) <= NEWEST + interval


async def test_a_slow_answer_about_now_is_kept_for_less(store, clock) -> None:
    class Slow(CountingStore):
        async def ready(self) -> None:
            clock.move(seconds=1)

    slow = Slow(clock)
    slow.snapshots = store.snapshots
    async with calling(slow, clock) as client:
        kept = (await client.get("/")).headers["cache-control"]
    assert clock.now + timedelta(seconds=int(kept.removeprefix("public, max-age="))) <= NEWEST + MINUTE


async def test_a_past_answer_with_a_late_extra_series_is_cached_for_a_short_time(store, clock) -> None:
    async with calling(store, clock, extras=[MARKET_CAP]) as client:
        kept = []
        for tick in (None, PAST_TICK - MINUTE, PAST_TICK):
            if tick:
                await store.write(with_stored_at(market_caps(tick, [(1, 1.8e12, 19e6)]), tick))
            clock.move(seconds=1)
            kept.append((await client.get(f"/?datetime={PAST}")).headers["cache-control"])
    assert kept == ["public, max-age=30", "public, max-age=30", "public, max-age=86400"]


async def test_a_past_answer_with_a_late_rank_is_cached_for_a_short_time(client, store, clock) -> None:
    del store.snapshots["volume_rank", PAST_TICK]
    answer = await client.get(f"/?datetime={PAST}")
    assert answer.json()["rank_time"] == isoformat(PAST_TICK - MINUTE)
    assert answer.headers["cache-control"] == "public, max-age=30"


async def test_an_answer_from_a_snapshot_that_just_came_is_not_final(client, store, clock) -> None:
    """A write takes up to 30 s, so another snapshot of the same instant may still become readable."""
    key = ("price", PAST_TICK)
    store.snapshots[key] = with_stored_at(store.snapshots[key], NOW - timedelta(seconds=30))
    kept = []
    for _ in range(2):
        kept.append((await client.get(f"/?datetime={PAST}")).headers["cache-control"])
        clock.move(seconds=1)
    assert kept == ["public, max-age=30", "public, max-age=86400"]


async def test_the_etag_of_now_is_that_of_what_was_known(client) -> None:
    """Lists of the same snapshots differ in the `known_at` they report."""
    tags = [(await client.get(f"/?known_at=now-{age}s")).headers["etag"] for age in (1, 2)]
    assert len({*tags}) == 2


async def test_a_404_with_known_at_stays_the_same_after_a_backfill(client, store, clock) -> None:
    asked = "/?datetime=2026-11-17T14:25:00Z&max_age=1m"
    first = await client.get(f"{asked}&known_at={isoformat(NOW.replace(microsecond=0))}")
    own = (await client.get(asked)).json()["known_at"]
    body = problem(first, 404)
    assert body["nearest_before"]["price_time"] == isoformat(BEFORE_GAP)
    assert body["known_at"] == isoformat(NOW.replace(microsecond=0))
    again = await client.get(f"{asked}&known_at={own}")
    assert again.json() == (await client.get(asked)).json()
    clock.move(minutes=4)
    for each in history()[:2]:
        for tick in (BEFORE_GAP + 2 * MINUTE, FIRST - 60 * MINUTE):
            await store.write(replace(each, marker=replace(each.marker, tick=tick, backfilled=True, stored_at=None)))
    assert (await client.get(f"{asked}&known_at={body['known_at']}")).content == first.content
    assert (await client.get(f"{asked}&known_at={own}")).content == again.content
    now = (await client.get(asked)).json()
    assert now["nearest_before"]["price_time"] == isoformat(BEFORE_GAP + 2 * MINUTE)
    assert now["first"] == isoformat(FIRST - 60 * MINUTE)


async def test_a_copy_that_is_still_right_is_answered_with_304(client, subtests) -> None:
    for query in ["/", f"/?datetime={PAST}", "/?format=csv"]:
        for form in ["{}", "*", '"other", {}', '{}, W/"other"', "W/{}", ' "a,b" ,{} ']:
            with subtests.test(query=query, form=form):
                got = await client.get(query)
                named = form.format(got.headers["etag"].removeprefix("W/") if form == "W/{}" else got.headers["etag"])
                for answer in (
                    await client.get(query, headers={"if-none-match": named}),
                    await client.head(query, headers={"if-none-match": named}),
                ):
                    assert (answer.status_code, answer.content) == (304, b"")
                    for name in ("etag", "cache-control", "vary"):
                        assert answer.headers[name] == got.headers[name]


async def test_a_copy_of_something_else_is_answered_whole(client, subtests) -> None:
    for named in ['"other"', 'W/"other"', "other", "", "W/*x"]:
        with subtests.test(named=named):
            answer = await client.get(f"/?datetime={PAST}", headers={"if-none-match": named})
            assert (answer.status_code, answer.json()["count"]) == (200, 5)


async def test_etags_in_two_header_lines_are_one_list(client) -> None:
    etag = (await client.get(f"/?datetime={PAST}")).headers["etag"]
    answer = await client.get(f"/?datetime={PAST}", headers=[("if-none-match", '"other"'), ("if-none-match", etag)])
    assert answer.status_code == 304


async def test_an_error_is_no_304(client) -> None:
    for query, status in (("/?limit=0", 422), ("/?datetime=2026-11-17T14:25:00Z", 404)):
        assert (await client.get(query, headers={"if-none-match": "*"})).status_code == status


# The same second.


async def test_the_same_question_of_the_same_second_is_answered_from_memory_and_of_the_next_anew(
    client, store, clock
) -> None:
    first = await client.get("/")
    asked = store.asked
    assert asked > 0
    clock.move(milliseconds=749)
    assert (await client.get("/")).content == first.content
    assert store.asked == asked
    clock.move(milliseconds=1)
    second = await client.get("/")
    assert store.asked > asked
    assert second.json()["requested_at"] == "2026-11-17T14:37:31Z"


async def test_another_question_is_not_answered_from_memory(client, store) -> None:
    seen = [(await client.get("/")).content]
    for query, headers in (("/?limit=1", {}), ("/?limit=2", {}), ("/", {"accept": "text/csv"})):
        asked = store.asked
        seen.append((await client.get(query, headers=headers)).content)
        assert store.asked > asked
    assert len(set(seen)) == 4


async def test_memory_does_not_take_one_header_for_another(client) -> None:
    bare = [("accept", "text/csv")]
    assert (await client.get("/", headers=bare)).headers["content-type"].startswith("text/csv")
    client.headers.pop("accept")
    other = await client.get("/", headers={"if-none-match": "text/csv"})
    assert other.headers["content-type"] == "application/json"


async def test_an_error_is_not_remembered(client, store) -> None:
    store.failure = StoreUnavailable("away")
    assert (await client.get("/")).status_code == 503
    store.failure = None
    assert (await client.get("/")).status_code == 200


async def test_what_was_remembered_is_counted_too(client) -> None:
    for _ in range(3):
        await client.get("/v1/top")
    assert (await metrics(client))["topcoins_http_requests_total", ("/v1/top", "200")] == 3


async def test_now_never_shows_a_tick_later_than_the_clock(client, store, clock) -> None:
    """The ticks of the next minute are already stored."""
    for step in range(60):
        tick = NEWEST + 31 * SECOND + step * SECOND
        await fill(store, [Prices(tick, [(1, "BTC", "Bitcoin", 1.0 + step, 1.0)]), Ranks(tick, [(1, 1.0)])])
    for _ in range(100):
        answer = (await client.get("/")).json()
        times = [datetime.fromisoformat(answer[name]) for name in ("price_time", "rank_time", "requested_at")]
        assert max(times) <= clock.now
        clock.move(milliseconds=600)


# Methods and addresses there are not.


async def test_another_method_is_refused_with_those_there_are(client, subtests) -> None:
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]:
        for path in [*(path for path in ADDRESSES if path != "/nowhere"), "/v1/gaps"]:
            with subtests.test(method=method, path=path):
                answer = await client.request(method, path)
                detail = problem(answer, 405)["detail"]
                assert detail == f"{method} is not allowed at {path}; allowed is {answer.headers['allow']}"
                allowed = {name.strip() for name in answer.headers["allow"].split(",")}
                assert allowed == {"GET", "HEAD"}
                assert (await client.head(path)).status_code == 200


async def test_an_unknown_address_is_a_problem(client, subtests) -> None:
    for path in [
        "/v1",
        "/v2/top",
        "/top",
        "/favicon.png",
        "/%00",
        "/..%2f..%2fetc/passwd",
        "/static-offline-docs/x.js",
    ]:
        with subtests.test(path=path):
            problem(await client.get(path), 404)


# Trouble.


FAILURES = {
    "away": StoreUnavailable(f"no route to {CANARY}"),
    "busy": StoreUnavailable(f"busy {CANARY}", retry_after=timedelta(seconds=42)),
    "soon back": StoreUnavailable(CANARY, retry_after=timedelta(milliseconds=200)),
    "refusing": StoreRejected(f"token {CANARY} is not known"),
    "damaged": StoreMalformed(f"half a row: {CANARY}"),
}


@pytest.mark.parametrize(
    ("trouble", "wait"), [("away", "10"), ("busy", "42"), ("soon back", "1"), ("refusing", "10"), ("damaged", "10")]
)
async def test_a_failing_store_gives_503_with_retry_after_and_no_internals(client, store, trouble, wait) -> None:
    store.failure = FAILURES[trouble]
    for path in ("/", "/v1/top?format=csv", f"/?datetime={PAST}", "/v1/status", "/readyz"):
        answer = await client.get(path)
        body = problem(answer, 503)
        assert answer.headers["retry-after"] == wait
        assert body["detail"] == "the store cannot answer now; the log of query_api says why"
        assert CANARY not in answer.text + repr(answer.headers)


async def test_the_process_is_healthy_while_the_store_is_away_and_metrics_show_it(client, store) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert (await metrics(client))["topcoins_store_up", ()] == 1
    store.failure = StoreUnavailable("away")
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    samples = await metrics(client)
    assert samples["topcoins_store_up", ()] == 0
    assert not [name for name, _ in samples if "newest_tick" in name or "snapshot" in name or "missing" in name]


async def test_a_bug_is_a_problem_without_its_inside(clock) -> None:
    async with calling(BrokenStore(clock), clock) as client:
        for path in ("/", "/v1/status", "/readyz", "/metrics"):
            answer = await client.get(path)
            body = problem(answer, 500)
            assert body["detail"] == "something went wrong; the log of query_api has the traceback"
            assert CANARY not in answer.text + repr(answer.headers)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_key_in_a_failure_s_text_is_in_no_answer_of_any_address(client, store, clock) -> None:
    for failure in FAILURES.values():
        store.failure = failure
        for path, method in itertools.product(ADDRESSES, ("GET", "HEAD", "POST")):
            answer = await client.request(method, path)
            assert CANARY not in answer.text + repr(answer.headers)
    async with calling(BrokenStore(clock), clock) as broken:
        for path in ADDRESSES:
            answer = await broken.get(path)
            assert CANARY not in answer.text + repr(answer.headers)


# Metrics and status.


async def metrics(client: httpx.AsyncClient) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, tuple(value for name, value in sample.labels.items() if name != "le")): sample.value
        for family in families
        for sample in family.samples
    }


async def test_requests_are_counted_by_route_and_status(client) -> None:
    for path in ("/", "/?limit=1", "/?limit=0", "/v1/top", "/healthz", "/?datetime=2026-11-17T14:25:00Z"):
        await client.get(path)
    await client.head("/")
    await client.post("/")
    samples = await metrics(client)
    counted = {labels: value for (name, labels), value in samples.items() if name == "topcoins_http_requests_total"}
    assert counted == {
        ("/", "200"): 3, ("/", "422"): 1, ("/", "404"): 1, ("/", "405"): 1, ("/v1/top", "200"): 1,
        ("/healthz", "200"): 1,
    }  # fmt: skip
    assert samples["topcoins_http_duration_seconds_count", ("/",)] == 6


async def test_a_bug_is_counted_as_500(clock) -> None:
    store = BrokenStore(clock)
    async with calling(store, clock) as client:
        await client.get("/readyz")
        store.broken = False
        assert (await metrics(client))["topcoins_http_requests_total", ("/readyz", "500")] == 1


async def test_addresses_nobody_has_do_not_make_labels(client) -> None:
    for n in range(50):
        await client.get(f"/{n}/x?{n}={n}")
        await client.get(f"/static-offline-docs/{n}")
    routes = {labels[0] for name, labels in await metrics(client) if name == "topcoins_http_requests_total"}
    assert len(routes) <= 2
    assert not [route for route in routes if re.search("[0-9]", route)]


async def test_metrics_have_the_version_the_notice_and_the_free_disk(store, clock, tmp_path) -> None:
    async with calling(store, clock, notice='said "so"', spools=tmp_path) as client:
        samples = await metrics(client)
    assert samples["topcoins_info", ('said "so"', VERSION)] == 1
    assert samples["topcoins_disk_free_bytes", ()] > 0


async def test_metrics_show_the_newest_tick_of_each_series(client) -> None:
    samples = await metrics(client)
    for series in ("price", "volume_rank"):
        assert samples["topcoins_newest_tick_timestamp_seconds", (series,)] == NEWEST.timestamp()
        assert samples["topcoins_newest_tick_age_seconds", (series,)] == 30.25
        assert samples["topcoins_snapshot_assets", (series,)] == 6
        assert samples["topcoins_snapshot_rejected", (series,)] == 0
        # From 14:00 to 14:36, the last one that had a whole interval: 14:11 to 14:29 are not there.
        assert samples["topcoins_missing_ticks_last_hour", (series,)] == 19


async def test_the_status_counts_the_gaps_of_the_last_hour(client) -> None:
    answer = (await client.get("/v1/status")).json()
    assert answer["now"] == "2026-11-17T14:37:30Z"
    assert answer["series"]["price"] == {
        "tick": "2026-11-17T14:37:00Z",
        "first": "2026-11-17T14:00:00Z",
        "age_s": 30.25,
        "source": "coinmarketcap",
        "assets": 6,
        "rejected": 0,
        "duplicates": 0,
        "credits": 1.0,
        "credits_last_hour": 19.0,
        "interval_s": 60.0,
        "unchanged": False,
        "next_tick": "2026-11-17T14:38:00Z",
        "expected_last_hour": 38,
        "stored_last_hour": 19,
        "missing_last_hour": {"not running": 19},
        "spool": None,
        "plan": None,
        "doubtful_lists": None,
        "reading": None,
        "source_in_use": None,
    }
    assert answer["series"]["volume_rank"]["source"] == "coindesk"


async def test_a_tick_that_is_due_but_not_overdue_is_no_gap(client, clock) -> None:
    clock.now = NEWEST + 119 * SECOND
    before = (await client.get("/v1/status")).json()["series"]["price"]
    clock.now = NEWEST + 120 * SECOND
    after = (await client.get("/v1/status")).json()["series"]["price"]
    assert before["expected_last_hour"] - before["stored_last_hour"] == 19
    assert after["expected_last_hour"] - after["stored_last_hour"] == 20


async def test_a_whole_hour_without_a_gap_counts_none(clock) -> None:
    store = CountingStore(clock)
    await fill(store, [Prices(NEWEST - n * MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)]) for n in range(70)])
    async with calling(store, clock) as client:
        for _ in range(4):
            price = (await client.get("/v1/status")).json()["series"]["price"]
            assert price["expected_last_hour"] == price["stored_last_hour"]
            assert price["expected_last_hour"] in (59, 60)
            clock.move(seconds=9)


async def test_the_status_of_an_empty_store_is_no_error(clock) -> None:
    async with calling(CountingStore(clock), clock) as client:
        answer = await client.get("/v1/status")
        samples = await metrics(client)
    assert answer.json()["series"]["price"]["tick"] is None
    assert ("topcoins_newest_tick_age_seconds", ("price",)) not in samples
    assert samples["topcoins_missing_ticks_last_hour", ("price",)] == 0


async def test_the_status_has_the_spool_and_the_credit_plan_when_their_folder_is_readable(clock, tmp_path) -> None:
    spool = Spool(tmp_path / "price", limit=2**20)
    spool.open()
    spool.put(sample_snapshot(PRICE, NEWEST, 3))
    spool.close()
    plan = {"source": "coinmarketcap", "left": 90.0, "limit": 100.0, "per_day": 4.0, "interval_s": 120.0}
    times = {"resets_at": "2026-12-01T00:00:00Z", "told_at": "2026-11-17T14:00:00Z", "lasts_until": None}
    (tmp_path / "price" / "credits.json").write_bytes(orjson.dumps(plan | times))
    async with calling(CountingStore(clock), clock, spools=tmp_path) as client:
        series = (await client.get("/v1/status")).json()["series"]
        gauges = await metrics(client)
    assert series["price"]["plan"] == plan | times | {"counted": False}
    assert series["price"]["spool"] == {
        "fetched": 1, "stored": 0, "spooled": 1, "dropped": 0,
        "spooled_bytes": series["price"]["spool"]["spooled_bytes"],
    }  # fmt: skip
    assert series["volume_rank"]["spool"] is None
    assert gauges["topcoins_spooled_snapshots", ("price",)] == 1
    assert {name: gauges[f"topcoins_credits_{name}", ("price",)] for name in ("left", "limit", "per_day")} == {
        "left": 90, "limit": 100, "per_day": 4,
    }  # fmt: skip
    assert gauges["topcoins_credits_reset_timestamp_seconds", ("price",)] == 1796083200
    assert gauges["topcoins_credits_suffice", ("price",)] == 1
    assert ("topcoins_credits_last_until_timestamp_seconds", ("price",)) not in gauges


async def test_credits_that_run_out_before_their_reset_do_not_suffice(clock, tmp_path) -> None:
    (tmp_path / "price").mkdir()
    plan = {"source": "coinmarketcap", "left": 90.0, "limit": None, "per_day": 40.0, "interval_s": 120.0}
    times = {"resets_at": "2026-12-01T00:00:00Z", "told_at": "2026-11-17T14:00:00Z"}
    empty = {"lasts_until": "2026-11-19T20:00:00Z"}
    (tmp_path / "price" / "credits.json").write_bytes(orjson.dumps(plan | times | empty))
    async with calling(CountingStore(clock), clock, spools=tmp_path) as client:
        gauges = await metrics(client)
    assert gauges["topcoins_credits_suffice", ("price",)] == 0
    assert gauges["topcoins_credits_last_until_timestamp_seconds", ("price",)] == 1795118400
    assert ("topcoins_credits_limit", ("price",)) not in gauges


async def test_the_gaps_are_named_with_their_causes(clock, tmp_path) -> None:
    store = CountingStore(clock)
    await fill(store, [Prices(NEWEST - n * MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)]) for n in (0, 1, 5, 9)])
    (tmp_path / "price").mkdir()
    misses = MissedTicks(tmp_path / "price")
    missed: list[tuple[int, Cause]] = [(2, "source away"), (3, "source away"), (4, "credits"), (6, "credits")]
    for n, cause in missed:
        misses.record(MissedTick(NEWEST - n * MINUTE, cause, f"why {n}"))
    async with calling(store, clock, spools=tmp_path) as client:
        answer = (await client.get("/v1/gaps?from=now-1h")).json()
        gauges = await metrics(client)
    assert (answer["from"], answer["to"]) == ("2026-11-17T13:37:30Z", "2026-11-17T14:37:30Z")
    price = answer["series"]["price"]
    assert (price["expected"], price["stored"], price["missing"]) == (10, 4, 6)
    assert [(gap["first"][11:16], gap["last"][11:16], gap["ticks"], gap["cause"]) for gap in price["gaps"]] == [
        ("14:29", "14:31", 3, "not running"),
        ("14:33", "14:35", 3, "source away"),
    ]
    assert price["gaps"][1]["why"] == "why 2"
    assert price["gaps"][1]["causes"] == {"source away": 2, "credits": 1}
    assert gauges["topcoins_gap_ticks_last_hour", ("credits", "price")] == 2
    assert gauges["topcoins_gap_ticks_last_hour", ("not running", "price")] == 2
    assert gauges["topcoins_gap_ticks_last_hour", ("store", "price")] == 0
    assert gauges["topcoins_missing_ticks_last_hour", ("price",)] == 6
    assert answer["series"]["volume_rank"] == {"expected": 0, "stored": 0, "missing": 0, "gaps": []}


async def test_a_snapshot_that_waits_for_the_store_is_a_gap_of_the_store(clock, tmp_path) -> None:
    store = CountingStore(clock)
    await fill(store, [Prices(NEWEST - n * MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)]) for n in (0, 3)])
    spool = Spool(tmp_path / "price", limit=2**20)
    spool.open()
    spool.put(sample_snapshot(PRICE, NEWEST - 2 * MINUTE, 3))
    spool.close()
    async with calling(store, clock, spools=tmp_path) as client:
        price = (await client.get("/v1/gaps")).json()["series"]["price"]
    (gap,) = price["gaps"]
    assert gap["causes"] == {"store": 1, "not running": 1}


async def test_failures_before_the_first_snapshot_are_gaps_too(clock, tmp_path) -> None:
    (tmp_path / "price").mkdir()
    misses = MissedTicks(tmp_path / "price")
    misses.record(*(MissedTick(NEWEST - n * MINUTE, "source refused us", "bad key") for n in (2, 1)))
    async with calling(CountingStore(clock), clock, spools=tmp_path) as client:
        price = (await client.get("/v1/gaps")).json()["series"]["price"]
    assert (price["expected"], price["missing"]) == (2, 2)
    assert (price["gaps"][0]["cause"], price["gaps"][0]["why"]) == ("source refused us", "bad key")


async def test_an_archive_that_ended_is_a_gap_up_to_now(clock) -> None:
    store = CountingStore(clock)
    await fill(store, [Prices(NEWEST - 3 * MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)])])
    async with calling(store, clock) as client:
        price = (await client.get("/v1/gaps")).json()["series"]["price"]
    assert (price["missing"], price["gaps"][0]["last"]) == (2, "2026-11-17T14:36:00Z")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("from=now-8d", "from"), ("from=now-1h&to=now-2h", "from"), ("to=tomorrow", "to"), ("from=x", "from")],
)
async def test_an_invalid_range_is_refused(client, query, parameter) -> None:
    assert problem(await client.get(f"/v1/gaps?{query}"), 422)["parameter"] == parameter


# The documentation.


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_a_documentation_page_and_all_it_loads_come_from_us(client, page) -> None:
    answer = await client.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert not re.findall(r"https?://|['\"]//", answer.text)
    loaded = re.findall(r"""(?:src|href|spec-url)="([^"]+)"|url: '([^']+)'""", answer.text)
    assets = [one or two for one, two in loaded]
    assert "openapi.json" in assets
    assert any(asset.endswith(".js") for asset in assets)
    for asset in assets:
        assert not asset.startswith("/")  # or else it is not found under a proxy's prefix
        got = await client.get(f"/{asset}")
        assert got.status_code == 200, asset
        assert len(got.content) > 100
        if asset.endswith(".css"):
            assert not re.findall(r"url\(['\"]?https?://|@import", got.text)
        assert "cdn.redoc.ly" not in got.text


@pytest.mark.parametrize("path", ["/favicon.ico", "/robots.txt"])
async def test_what_browsers_and_crawlers_ask_of_every_site_is_there(client, path) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] in ("image/svg+xml", "text/plain; charset=utf-8")


async def test_json_ends_with_a_newline(client, subtests) -> None:
    for path in [
        "/",
        "/v1/assets/1",
        "/v1/assets/1/history",
        "/v1/movers",
        "/v1/gaps",
        "/v1/status",
        "/v1/sparklines?ids=1",
        "/healthz",
        "/readyz",
        "/?limit=0",
        "/none",
        "/openapi.json",
    ]:
        with subtests.test(path=path):
            body = (await client.get(path)).content
            assert body.endswith(b"}\n")
            assert body.count(b"\n") == 1


async def test_an_address_there_is_not_is_named_with_where_they_are_listed(client, subtests) -> None:
    for path in ("/none", "/v1/top/", "/V1/top", "/v1/assets/a%2Fb"):
        with subtests.test(path=path):
            detail = problem(await client.get(path), 404)["detail"]
            assert detail == f"{unquote(path)} is no address of this API; /docs lists them, for example /v1/top"


async def test_a_text_that_is_too_long_is_refused_with_the_characters_it_may_have(client, subtests) -> None:
    for name in ("datetime", "by", "known_at", "max_age"):
        with subtests.test(name=name):
            detail = problem(await client.get(f"/v1/assets/1?{name}={'x' * 65}"), 422)["detail"]
            assert re.search(r": is longer than [0-9]{2} characters, the most this parameter takes$", detail)


async def test_every_answer_says_how_long_a_cache_may_keep_it(client, subtests) -> None:
    for path in ADDRESSES:
        with subtests.test(path=path):
            assert (await client.get(path)).headers["cache-control"]


async def test_the_description_of_the_api_is_sent_once(client) -> None:
    etag = (await client.get("/openapi.json")).headers["etag"]
    assert (await client.get("/openapi.json", headers={"if-none-match": etag})).status_code == 304
    assert problem(await client.get("/openapi.json?foo=1"), 422)["parameter"] == "foo"


async def test_the_parameter_that_defeats_caches_is_ignored(client) -> None:
    assert (await client.get("/?limit=1&_=1795703715")).json()["count"] == 1
    assert problem(await client.get("/?limit=1&__=1795703715"), 422)["parameter"] == "__"


def test_the_gap_of_the_history_is_where_these_tests_expect_it() -> None:
    assert BEFORE_GAP < datetime.fromisoformat("2026-11-17T14:25:00Z") < AFTER_GAP < NEWEST < NOW


async def test_an_answers_known_at_gives_it_again_after_a_backfill(client, store, clock) -> None:
    in_the_gap = "2026-11-17T14:20:00Z"
    first = await client.get(f"/?datetime={in_the_gap}&max_age=1h")
    body = first.json()
    assert body["price_time"] == isoformat(BEFORE_GAP)
    clock.move(hours=1)
    for each in history()[:2]:
        tick = BEFORE_GAP + 5 * MINUTE
        marker = replace(each.marker, tick=tick, backfilled=True, stored_at=None)
        await store.write(replace(each, marker=marker))
    assert (await client.get(f"/?datetime={in_the_gap}&max_age=1h")).json()["price_time"] == isoformat(tick)
    again = await client.get(f"/?datetime={in_the_gap}&max_age=1h&known_at={body['known_at']}")
    assert again.content == first.content
    gone = await client.get(f"/?datetime={in_the_gap}&max_age=1h&known_at=2026-11-17T13:00:00Z")
    assert gone.status_code == 404
    assert "nothing was stored by 2026-11-17T13:00:00Z" in gone.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/assets/1?datetime={at}", f"/v1/movers?from={isoformat(FIRST)}&to={{at}}"])
async def test_an_asset_and_moves_are_given_again_by_their_known_at_too(client, store, clock, path) -> None:
    asked = path.format(at="2026-11-17T14:20:00Z") + "&max_age=1h"
    body = (await client.get(asked)).json()
    known_at = body.get("known_at") or max(body["from"]["known_at"], body["to"]["known_at"])
    clock.move(hours=1)
    first = (await client.get(f"{asked}&known_at={known_at}")).json()
    assert first["data"] == body["data"] if "data" in body else first == body
    for each in history()[:2]:
        marker = replace(each.marker, tick=BEFORE_GAP + 5 * MINUTE, backfilled=True, stored_at=None)
        await store.write(replace(each, marker=marker))
    assert (await client.get(asked)).json() != body
    assert (await client.get(f"{asked}&known_at={known_at}")).json() == first


async def test_what_will_be_known_can_not_be_asked(client) -> None:
    answer = await client.get("/?known_at=2026-11-17T14:38:00Z")
    assert answer.status_code == 422
    assert answer.json()["parameter"] == "known_at"
    assert "is in the future" in answer.json()["detail"]
