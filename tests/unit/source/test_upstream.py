"""Asking an upstream: pages, retries, what its errors mean, and where the key goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs

import ingest_price
import ingest_rank
from lib.errors import SourceExhausted, SourceMalformed, SourceRejected, SourceUnavailable, TopcoinsError
from lib.simulator import Market, Plan, create_app
from lib.source import Source, SourceFile, read_source
from tests.examples import examples
from tests.fakes import NOON, Answer, FakeClock, Upstream, fails, recorded, says

CMC = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
COINDESK = read_source(Path(ingest_rank.__path__[0]) / "coindesk.toml")
COINGECKO = read_source(Path(ingest_rank.__path__[0]) / "coingecko.toml")
FILES = {"cmc": CMC, "coindesk": COINDESK, "coingecko": COINGECKO}

KEY = "canary-5f3a9c1e"
MINUTE = timedelta(minutes=1)


def made(file: SourceFile, upstream: Upstream, *, clock=None, key: str | None = KEY, url: str | None = None) -> Source:
    secret = SecretStr(key) if key else None
    return Source(file, client=upstream.client, clock=clock or FakeClock(), key=secret, url=url)


def paged(file: SourceFile, **paging) -> SourceFile:
    assert file.paging is not None
    return file.model_copy(update={"paging": file.paging.model_copy(update=paging)})


def asking(file: SourceFile, **request) -> SourceFile:
    return file.model_copy(update={"request": file.request.model_copy(update=request)})


def listing(*ids: int, **status: Any) -> dict[str, Any]:
    records = [{"id": id_, "quote": {"USD": {"price": 1.0, "volume_24h": 2.0}}} for id_ in ids]
    return {"data": records, "status": {"error_code": 0, "credit_count": 1, **status}}


def top_list(*ids: int, total: int | None = None) -> dict[str, Any]:
    records = [
        {"ASSET_ALTERNATIVE_IDS": [{"NAME": "CMC", "ID": str(id_)}], "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD": 9.0}
        for id_ in ids
    ]
    return {"Data": {"STATS": {"TOTAL_ASSETS": total} if total is not None else {}, "LIST": records}, "Err": {}}


def market(total: int) -> Upstream:
    """An upstream of this many assets that answers the page it is asked for, in either way of paging."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = {name: int(value) for name, value in request.url.params.items() if value.isdigit()}
        if "page" in asked:
            first = (asked["page"] - 1) * asked["page_size"] + 1
            body = top_list(*range(first, min(first + asked["page_size"], total + 1)), total=total)
        else:
            body = listing(*range(asked["start"], min(asked["start"] + asked["limit"], total + 1)))
        return httpx.Response(200, json=body)

    return Upstream(answer)


async def ids(source: Source, assets: int) -> list[int]:
    return (await source.read(assets, MINUTE)).rows["cmc_id"].to_list()


async def failure(source: Source, assets: int = 10) -> TopcoinsError:
    with pytest.raises(TopcoinsError) as failed:
        await source.read(assets, MINUTE)
    return failed.value


# Pages


async def test_pages_by_offset_go_on_where_the_last_one_ended():
    upstream = market(1000)
    assert await ids(made(paged(CMC, size=100), upstream), 250) == list(range(1, 251))
    assert upstream.queries("start", "limit") == [(1, 100), (101, 100), (201, 50)]


async def test_pages_of_an_exact_size_are_asked_whole():
    upstream = market(1000)
    assert await ids(made(COINDESK, upstream), 250) == list(range(1, 251))
    assert upstream.queries("page", "page_size") == [(1, 100), (2, 100), (3, 100)]


async def test_numbered_pages_keep_one_size_to_the_last():
    upstream = market(1000)
    assert await ids(made(paged(COINDESK, exact_size=False), upstream), 250) == list(range(1, 251))
    assert upstream.queries("page", "page_size") == [(1, 100), (2, 100), (3, 100)]


async def test_one_page_asks_for_no_more_than_is_wanted():
    upstream = market(5000)
    assert await ids(made(CMC, upstream), 7) == list(range(1, 8))
    assert upstream.queries("start", "limit") == [(1, 7)]


async def test_a_list_shorter_than_asked_is_taken_whole():
    upstream = market(130)
    assert await ids(made(COINDESK, upstream), 500) == list(range(1, 131))
    assert upstream.queries("page") == [(1,), (2,)]


@given(st.sampled_from([CMC, COINDESK]), st.integers(1, 30), st.integers(1, 12), st.integers(0, 40), st.booleans())
@settings(deadline=None, max_examples=examples(60))
def test_however_paged_the_first_assets_come_once_each_in_order(file, assets, size, total, exact):
    source = made(paged(file, size=size, exact_size=exact), market(total))
    assert asyncio.run(ids(source, assets)) == list(range(1, min(assets, total) + 1))


async def test_an_upstream_that_sends_more_than_asked_gives_no_more_than_asked():
    assert await ids(made(CMC, Upstream(says(listing(*range(1, 101))))), 10) == list(range(1, 11))


async def test_a_failing_page_fails_the_whole_reading():
    upstream = Upstream(says(top_list(*range(1, 101), total=250)), says({}, 403))
    assert isinstance(await failure(made(COINDESK, upstream), 250), SourceUnavailable)


async def test_a_reading_has_its_records_credits_and_times():
    clock = FakeClock()

    def slow(request):
        clock.move(seconds=2)
        start = int(request.url.params["start"])
        return httpx.Response(200, json=listing(start, start + 1, credit_count=3))

    reading = await made(paged(CMC, size=2), Upstream(slow), clock=clock).read(4, MINUTE)
    assert (reading.source, reading.series.name, reading.records, reading.credits) == ("coinmarketcap", "price", 4, 6.0)
    assert (reading.observed_at, reading.duration) == (NOON, timedelta(seconds=4))


async def test_what_a_file_asks_for_is_asked_on_every_page():
    upstream = market(1000)
    await ids(made(paged(CMC, size=100), upstream), 200)
    for request in upstream.asked:
        assert (request.url.params["convert"], request.url.params["sort"]) == ("USD", "volume_24h")
        assert request.headers["accept"] == "application/json"


# Errors


AWAY_STATUSES = (302, 303, 304, 307, 400, 401, 402, 403, 418, 429, 451)
RETRY, NEXT, NEXT_MIN, RESET, STOP = "retry", "next_tick", "next_minute", "reset", "stop"


def cmc_error(code: int | str, status: int = 200) -> tuple[dict[str, Any], int]:
    return {"status": recorded("cmc-error-http400")["status"] | {"error_code": code}}, status


def coingecko_error(code: int, status: int) -> tuple[dict[str, Any], int]:
    return {"status": {"error_code": code, "error_message": "no"}}, status


NAMES = ("cmc", "coindesk")
ERRORS = [
    *(("coingecko", *coingecko_error(code, 401), STOP, f"code {code}: no") for code in (10002, 10005, 10010, 10011)),
    ("coingecko", {"error": coingecko_error(10002, 401)[0]}, 401, STOP, "code 10002: no"),
    ("coingecko", *coingecko_error(10006, 429), RESET, "code 10006: no"),
    ("coingecko", *coingecko_error(429, 429), NEXT_MIN, "code 429: no"),
    ("coingecko", {"error": "coin not found"}, 404, STOP, "code coin not found"),
    ("cmc", recorded("cmc-error-http400"), 400, STOP, 'code 400: Invalid value for "id"'),
    ("cmc", recorded("cmc-error-http401"), 401, STOP, "code 1002: API key missing."),
    ("cmc", recorded("cmc-error-1002-keymissing-1-20200323"), 401, STOP, "code 1002: API key missing."),
    ("cmc", recorded("cmc-error-http403"), 403, STOP, "code 1006: Your API Key subscription plan doesn't support"),
    (
        "cmc",
        recorded("cmc-error-http429"),
        429,
        NEXT_MIN,
        "code 1008: You've exceeded your API Key's HTTP request rate",
    ),
    ("cmc", recorded("cmc-error-http500"), 500, RETRY, "code 500: An internal server error occurred"),
    ("coindesk", recorded("coindesk-data-error-401-keyrequired-1-20260623"), 401, STOP, "code 2: API key required"),
    ("coindesk", recorded("cryptocompare-minapi-error-paramrequired-http200-1-20260102"), 200, STOP, "tsym is a req"),
    (
        "coindesk",
        recorded("cryptocompare-minapi-error-ratelimit-http200-1-20240729"),
        200,
        NEXT,
        "over your rate limit",
    ),
    (
        "coindesk",
        recorded("cryptocompare-minapi-error-ratelimit-http200-2-20210126"),
        200,
        NEXT,
        "over your rate limit",
    ),
    ("coindesk", recorded("cryptocompare-minapi-error-unknownpath-http200-1-20260102"), 200, STOP, "Path does not ex"),
    *(("cmc", *cmc_error(code, 401), STOP, f"code {code}") for code in (1001, 1003, 1004, 1005, 1007, "1001")),
    *(("cmc", *cmc_error(code, 200), STOP, f"code {code}") for code in (1001, "1002", 1003)),
    *(("cmc", *cmc_error(code, status), RESET, f"code {code}") for code in (1009, "1009") for status in (200, 429)),
    *(("cmc", *cmc_error(code, status), NEXT, f"code {code}") for code in (1011, "1011") for status in (200, 429)),
    *(("cmc", *cmc_error(code, status), NEXT_MIN, f"code {code}") for code in (1008, "1008") for status in (200, 429)),
    *(("cmc", *cmc_error(code, 200), NEXT, f"code {code}") for code in (7777, "surprise")),
    *(("cmc", *cmc_error(code, 200), RETRY, f"code {code}") for code in (500, "500")),
    *(("cmc", b"<html>", status, RETRY, f"HTTP {status}") for status in (500, 502, 503, 504)),
    *((name, b"<html>", status, NEXT, f"HTTP {status}") for name in NAMES for status in AWAY_STATUSES),
    *((name, b"<html>", status, STOP, f"HTTP {status}") for name in NAMES for status in (301, 308, 404, 410)),
]


async def test_each_error_has_the_effect_that_its_source_file_states(subtests):
    for name, body, status, action, message in ERRORS:
        with subtests.test(name=name, body=body, status=status):
            clock, upstream = FakeClock(), Upstream(says(body, status))
            source = made(FILES[name], upstream, clock=clock)
            failed = await failure(source)
            assert message in str(failed)
            assert f"HTTP {status}" in str(failed)
            assert isinstance(failed, SourceRejected if action == STOP else SourceUnavailable)
            assert len(upstream.asked) == (3 if action == RETRY else 1)
            rest = {
                RETRY: timedelta(), NEXT: timedelta(), NEXT_MIN: timedelta(minutes=1), RESET: timedelta(hours=12),
                STOP: timedelta(hours=1),
            }[action]  # fmt: skip
            upstream.asked.clear()
            if rest > timedelta(minutes=1):
                clock.now = NOON + rest - timedelta(seconds=1)
                resting = await failure(source)
                assert not upstream.asked
                assert str(resting) == str(failed)
                assert type(resting) is type(failed)
                assert "not asked again before 2026-08-" in str(resting)
            clock.now = NOON + rest
            await failure(source)
            assert upstream.asked


async def test_a_refused_key_that_works_again_is_taken_up_after_an_hour():
    clock, upstream = FakeClock(), Upstream(says(recorded("cmc-error-http401"), 401), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    assert isinstance(await failure(source), SourceRejected)
    clock.move(hours=1)
    assert await ids(source, 1) == [1]


async def test_a_days_used_up_credits_are_waited_for_until_midnight_utc():
    clock, upstream = FakeClock(NOON.replace(hour=23, minute=59)), Upstream(says(*cmc_error(1009)), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    assert "not asked again before 2026-08-02T00:00:00Z" in str(await failure(source))
    clock.move(minutes=1)
    assert await ids(source, 1) == [1]


async def test_a_months_used_up_credits_are_waited_for_until_the_reset_that_the_quota_reports():
    info = recorded("cmc-key-info-1-20240122T1635Z")
    info["data"]["plan"]["credit_limit_monthly_reset_timestamp"] = "2026-08-19T07:30:00.000Z"
    info["data"]["usage"]["current_month"]["credits_left"] = 0
    clock, upstream = FakeClock(), Upstream(says(*cmc_error(1010)), says(info), says(info), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    assert "not asked again before 2026-08-19T07:30:00Z" in str(await failure(source))
    clock.now = NOON.replace(day=19, hour=7, minute=29)
    await failure(source)
    assert [request.url.path for request in upstream.asked[1:]] == ["/v1/key/info"] * 2
    clock.move(minutes=1)
    assert await ids(source, 1) == [1]


def cmc_left(credits: int) -> dict[str, Any]:
    return {"data": {"plan": {}, "usage": {"current_month": {"credits_left": credits}}}}


def coindesk_left(calls: int) -> dict[str, Any]:
    return {"Data": {"API_KEY": {"REMAINING": {"MONTH": calls}}}}


@pytest.mark.parametrize(
    ("file", "refusal", "left", "list_"),
    [
        (CMC, says(*cmc_error(1010, 429)), cmc_left, listing(1)),
        (CMC, says(cmc_error(1010)[0], 429, retry_after="900000"), cmc_left, listing(1)),
        (COINDESK, says({"Err": {"type": 402}}, 402), coindesk_left, top_list(1)),
    ],
    ids=["1010", "1010 with a wait", "coindesk 402"],
)
async def test_a_plan_that_is_changed_in_mid_month_is_noticed_within_half_an_hour(file, refusal, left, list_):
    clock, looks = FakeClock(), list[datetime]()
    lists: list[Answer] = [refusal, says(list_)]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != file.key.quota.path:
            return lists.pop(0)(request)
        looks.append(clock.now)
        return says(left(5000 if clock.now > NOON + 40 * MINUTE else 0))(request)

    source = made(file, Upstream(answer), clock=clock)
    for _ in range(60):
        assert isinstance(await failure(source, 1), SourceExhausted)
        clock.move(minutes=1)
    assert looks[-1] == NOON + 30 * MINUTE
    assert await ids(source, 1) == [1]
    assert not lists


async def test_credits_that_are_left_by_a_late_report_do_not_end_the_pause_at_once():
    clock, upstream = FakeClock(), Upstream(says(*cmc_error(1010)), says(cmc_left(7)), says(cmc_left(7)))
    source = made(CMC, upstream, clock=clock)
    await failure(source)
    await source.allowance()
    clock.move(minutes=29)
    assert isinstance(await failure(source), SourceExhausted)
    assert len(upstream.asked) == 3


async def test_a_months_used_up_credits_are_asked_for_again_each_day_where_no_reset_is_reported():
    clock, upstream = FakeClock(), Upstream(says(*cmc_error(1010)), says(b"<html>", 500), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    assert "not asked again before 2026-08-02T00:00:00Z" in str(await failure(source))
    clock.now = NOON.replace(day=2, hour=0)
    assert await ids(source, 1) == [1]


async def test_a_minutes_used_up_requests_are_waited_for_until_the_next_minute():
    clock, upstream = FakeClock(NOON.replace(second=20)), Upstream(says(*cmc_error(1008)), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    await failure(source)
    clock.move(seconds=39)
    assert isinstance(await failure(source), SourceUnavailable)
    assert len(upstream.asked) == 1
    clock.move(seconds=1)
    assert await ids(source, 1) == [1]


@pytest.mark.parametrize(("code", "status"), [(1008, 429), (1010, 429), (500, 503)])
async def test_a_wait_the_upstream_asks_for_is_kept(code, status):
    clock = FakeClock()
    upstream = Upstream(says(cmc_error(code)[0], status, retry_after="90"), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    await failure(source)
    clock.move(seconds=89)
    assert isinstance(await failure(source), SourceUnavailable)
    assert len(upstream.asked) == 1
    clock.move(seconds=1)
    assert await ids(source, 1) == [1]


@pytest.mark.parametrize("wait", ["soon", "-5", "", "٣"])
async def test_a_wait_that_cannot_be_read_is_none(wait):
    upstream = Upstream(
        lambda request: httpx.Response(429, headers=[(b"retry-after", wait.encode())]), says(listing(1))
    )
    source = made(CMC, upstream)
    await failure(source)
    assert await ids(source, 1) == [1]


ABSURD = ["9" * 5000, "9" * 12, "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"]


@pytest.mark.parametrize("wait", ABSURD)
@pytest.mark.parametrize(
    ("body", "longest"), [(b"<html>", timedelta(hours=1)), (cmc_error(1011)[0], timedelta(days=1))]
)
async def test_an_absurd_wait_is_bounded_and_shorter_without_a_code_of_the_vendor(wait, body, longest):
    clock, upstream = FakeClock(), Upstream(says(body, 429, retry_after=wait), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    assert isinstance(await failure(source), SourceUnavailable)
    clock.now = NOON + longest - timedelta(seconds=1)
    await failure(source)
    assert len(upstream.asked) == 1
    clock.now = NOON + longest
    assert await ids(source, 1) == [1]


@pytest.mark.parametrize(("wait", "seconds"), [("Sat, 01 Aug 2026 12:01:30 GMT", 90), ("11.5", 11.5)])
async def test_a_wait_may_be_a_date_or_a_fraction(wait, seconds):
    clock, upstream = FakeClock(), Upstream(says(b"", 429, retry_after=wait), says(listing(1)))
    source = made(CMC, upstream, clock=clock)
    await failure(source)
    clock.move(seconds=seconds - 0.5)
    await failure(source)
    assert len(upstream.asked) == 1
    clock.move(seconds=0.5)
    assert await ids(source, 1) == [1]


async def test_a_status_without_a_code_is_asked_again_with_the_next_ticks_after_growing_pauses():
    clock, upstream = FakeClock(), Upstream(says(b"<html>", 403))
    source = made(CMC, upstream, clock=clock)
    asked = []
    for minute in range(60):
        clock.now = NOON + minute * MINUTE
        before = len(upstream.asked)
        await failure(source)
        asked += [minute] * (len(upstream.asked) - before)
    assert asked == [0, 1, 2, 4, 8, 15, 29, 44, 59]
    upstream.answers[:] = [says(listing(1)), says(b"<html>", 403)]
    clock.now = NOON + 74 * MINUTE
    assert await ids(source, 1) == [1]
    await failure(source)
    clock.move(minutes=1)
    before = len(upstream.asked)
    await failure(source)
    assert len(upstream.asked) == before + 1


async def test_a_path_that_is_gone_does_not_stop_the_other_paths():
    upstream = Upstream(says(b"", 404), says(listing(1)))
    source = made(CMC, upstream)
    with pytest.raises(SourceRejected, match="GET /v1/key/info: HTTP 404; not asked again before 2026-08-01T13:00:00Z"):
        await source.allowance()
    assert await ids(source, 1) == [1]
    with pytest.raises(SourceRejected):
        await source.allowance()
    assert len(upstream.asked) == 2


async def test_a_part_of_an_answer_is_refused():
    upstream = Upstream(says(listing(1), 206))
    failed = await failure(made(CMC, upstream))
    assert isinstance(failed, SourceMalformed)
    assert "HTTP 206" in str(failed)


@pytest.mark.parametrize("code", [0, "0", 0.0, None])
async def test_a_code_of_success_is_no_error(code):
    assert await ids(made(CMC, Upstream(says(listing(1, error_code=code)))), 1) == [1]


async def test_an_error_code_beside_records_is_an_error():
    assert "code 1008" in str(await failure(made(CMC, Upstream(says(listing(1, error_code=1008))))))


# Retries


TIMEOUTS = [httpx.ConnectTimeout("t"), httpx.ReadTimeout("t"), httpx.WriteTimeout("t"), httpx.PoolTimeout("t")]
TROUBLE = [httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.RemoteProtocolError("cut")]


@pytest.mark.parametrize("trouble", [*map(fails, TIMEOUTS + TROUBLE), says(b"", 500), says(b"", 503)])
async def test_what_may_pass_is_tried_three_times_in_all(trouble):
    upstream = Upstream(trouble)
    assert isinstance(await failure(made(CMC, upstream)), SourceUnavailable)
    assert len(upstream.asked) == 3


@pytest.mark.parametrize(
    "trouble", [fails(httpx.ReadTimeout("t")), fails(httpx.ConnectError("refused")), says(b"", 500)]
)
async def test_a_third_try_that_works_is_enough(trouble):
    upstream = Upstream(trouble, trouble, says(listing(1)))
    assert await ids(made(CMC, upstream), 1) == [1]
    assert len(upstream.asked) == 3


async def test_a_try_that_fails_is_no_line_of_the_log():
    upstream = Upstream(fails(httpx.ConnectError("away")))
    with capture_logs() as logs:
        await failure(made(CMC, upstream))
    assert len(upstream.asked) == 3
    assert logs == []


async def test_only_the_page_that_failed_is_asked_again():
    upstream = Upstream(says(top_list(*range(1, 101))), says(b"", 502), says(top_list(*range(101, 201))))
    assert await ids(made(COINDESK, upstream), 200) == list(range(1, 201))
    assert upstream.queries("page") == [(1,), (2,), (2,)]


async def test_a_timeout_names_the_page_and_the_source():
    failed = await failure(made(COINDESK, Upstream(fails(httpx.ReadTimeout("")))))
    message = "coindesk: GET /asset/v1/top/list page=1&page_size=100: no answer in time (ReadTimeout)"
    assert str(failed) == message


async def test_the_whole_reading_ends_in_time():
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = httpx.AsyncClient(transport=httpx.MockTransport(never))
    source = Source(CMC, client=client, clock=FakeClock(), key=SecretStr(KEY))
    with pytest.raises(SourceUnavailable, match=r"coinmarketcap: no full answer within 0.005 s"):
        await source.read(10, timedelta(milliseconds=5))


# Answers that can't be used


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"<html>", "the body is not JSON"),
        (b'{"data": [{"id": 1', "the body is not JSON"),
        (b"\xff\xfe{}", "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}", "the body is not JSON"),
        (b"null", "no list of records at data"),
        (b"5", "no list of records at data"),
        (b'"data"', "no list of records at data"),
        (b"[]", "no list of records at data"),
        (b"{}", "no list of records at data"),
        (b'{"data": null}', "no list of records at data"),
        (b'{"data": {"1": {"id": 1}}}', "no list of records at data"),
        (b'{"data": [], "status": 5}', None),
        (b'{"data": [], "status": {"error_code": 0, "credit_count": "1"}}', None),
    ],
)
async def test_an_answer_of_another_shape_is_an_error_and_not_asked_for_again(body, message):
    upstream = Upstream(says(body))
    source = made(CMC, upstream)
    if message is None:
        assert (await source.read(10, MINUTE)).rows.is_empty()
        return
    failed = await failure(source)
    assert isinstance(failed, SourceMalformed)
    assert str(failed).startswith("coinmarketcap: GET /v3/cryptocurrency/listings/latest start=1&limit=10: ")
    assert message in str(failed)
    assert len(upstream.asked) == 1


async def test_a_record_nested_deep_is_counted_like_any_other_that_is_no_object():
    reading = await made(CMC, Upstream(says(b'{"data": ' + b"[" * 500 + b"]" * 500 + b"}"))).read(1, MINUTE)
    assert reading.rejected == {"record is not an object": 1}


@pytest.mark.parametrize("huge", [b"1e308", b"9" * 300, b"-9e307", b"1e-320", b"18446744073709551616"])
async def test_huge_numbers_are_read_without_harm(huge):
    body = b'{"data": [{"id": %b, "quote": {"USD": {"price": %b, "volume_24h": %b}}}], "status": {"credit_count": %b}}'
    reading = await made(CMC, Upstream(says(body.replace(b"%b", huge)))).read(1, MINUTE)
    assert reading.rows["usd"].to_list() == [float(huge)]
    assert reading.rows["cmc_id"].to_list() == [None]


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["data", "status", "error_code", "credit_count", "Data", "LIST", "STATS",
                                       "TOTAL_ASSETS", "Err", "type", "Response", "Type", "id"]), inner, max_size=4),
    max_leaves=10,
))  # fmt: skip
@settings(deadline=None, max_examples=examples(60))
def test_any_answer_is_a_reading_or_an_error_of_ours(body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for file in FILES.values():
        try:
            reading = asyncio.run(made(file, Upstream(says(content))).read(3, MINUTE))
        except TopcoinsError:
            continue
        assert len(reading.rows) + sum(reading.rejected.values()) == reading.records


async def test_a_too_large_answer_is_given_up():
    upstream = Upstream(says(b"x" * 1001))
    failed = await failure(made(asking(CMC, largest_answer=1000), upstream))
    assert isinstance(failed, SourceMalformed)
    assert "the answer is larger than 1000 bytes" in str(failed)
    assert len(upstream.asked) == 1


async def test_an_answer_that_comes_byte_by_byte_is_not_waited_for():
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)

    upstream = Upstream(lambda request: httpx.Response(200, content=drip()))
    hasty = CMC.model_copy(update={"request": CMC.request.model_copy(update={"timeout": timedelta(milliseconds=5)})})
    with pytest.raises(SourceUnavailable, match="GET /v1/key/info: no full answer in time"):
        await made(hasty, upstream).allowance()
    with pytest.raises(SourceUnavailable, match=r"GET /v1/contracts page=1: no full answer in time"):
        await made(hasty, upstream).fetch("/v1/contracts", {"page": 1})


async def test_an_answer_whose_compression_is_broken_is_tried_again():
    upstream = Upstream(says(b"no gzip", content_encoding="gzip"), says(listing(1)))
    assert await ids(made(CMC, upstream), 1) == [1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status):
    upstream = Upstream(says(listing(1), status, location="https://elsewhere.example/"))
    client = upstream.client
    client.follow_redirects = True
    failed = await failure(Source(CMC, client=client, clock=FakeClock(), key=SecretStr(KEY)))
    assert f"HTTP {status}" in str(failed)
    assert [request.url.host for request in upstream.asked] == ["pro-api.coinmarketcap.com"]


# The key


@pytest.mark.parametrize(
    ("file", "header", "value"),
    [(CMC, "x-cmc_pro_api_key", KEY), (COINDESK, "authorization", f"Apikey {KEY}")],
    ids=["cmc", "coindesk"],
)
async def test_the_key_is_in_its_header_and_nowhere_else(file, header, value):
    upstream = Upstream(says(listing(1) | top_list(1)))
    await made(file, upstream).read(1, MINUTE)
    (request,) = upstream.asked
    assert request.headers[header] == value
    assert [name for name, value in request.headers.items() if KEY in value] == [header]
    assert KEY not in str(request.url)
    assert not request.content


async def test_a_keys_frame_may_hold_braces_of_its_own():
    assert CMC.key is not None
    key = CMC.key.model_copy(update={"value": '{"token": "{key}"}'})
    upstream = Upstream(says(listing(1)))
    await ids(made(CMC.model_copy(update={"key": key}), upstream), 1)
    assert upstream.asked[0].headers["x-cmc_pro_api_key"] == f'{{"token": "{KEY}"}}'


ECHOES = [
    says({"status": {"error_code": 1001, "error_message": f"key {KEY} is invalid"}}, 401),
    says({"status": {"error_code": f"bad {KEY}", "error_message": "no"}}),
    says({"status": {"error_code": 1, "error_message": {"key": KEY}}}),
    says({"status": {"error_code": 500, "error_message": KEY}}, 500),
    says({"status": {"error_code": 1008, "error_message": KEY}}, 429, retry_after="9"),
    says({"status": {"error_code": 1009, "error_message": KEY}}),
    says(f"<html>{KEY}".encode()),
    says(f"<html>{KEY}".encode(), 502),
    says({KEY: KEY}),
    fails(httpx.LocalProtocolError(f"Illegal header value b'Apikey {KEY}'")),
    fails(httpx.ReadTimeout(KEY)),
    *(says({"status": {"error_code": "x" * (64 - n), "error_message": "y" * (300 - n) + KEY}}) for n in range(1, 16)),
    *(says({"status": {"error_code": "x" * (64 - n) + KEY, "error_message": "y"}}) for n in range(1, 16)),
]


async def test_the_key_is_in_no_errors_text_even_when_the_upstream_echoes_it(subtests):
    for number, echo in enumerate(ECHOES):
        with subtests.test(number=number):
            source = made(CMC, Upstream(echo))
            for failed in (await failure(source), await failure(source)):
                assert KEY not in str(failed)
                assert not any(KEY[:n] in str(failed) for n in range(3, len(KEY)))


async def test_without_a_key_the_keyless_path_is_asked_and_no_key_header_sent():
    upstream = Upstream(says(listing(1)))
    source = made(CMC, upstream, key=None)
    assert source.usable
    await ids(source, 1)
    assert upstream.asked[0].url.path == "/public-api/v3/cryptocurrency/listings/latest"
    assert "x-cmc_pro_api_key" not in upstream.asked[0].headers


async def test_with_a_key_the_ordinary_path_is_asked():
    upstream = Upstream(says(listing(1)))
    await ids(made(CMC, upstream), 1)
    assert upstream.asked[0].url.path == "/v3/cryptocurrency/listings/latest"


async def test_another_address_moves_the_whole_list():
    upstream = Upstream(says(listing(1)))
    await ids(made(CMC, upstream, url="http://127.0.0.1:9000/cmc"), 1)
    assert str(upstream.asked[0].url).startswith("http://127.0.0.1:9000/cmc/v3/cryptocurrency/listings/latest?")


def test_a_source_with_neither_key_nor_keyless_path_is_not_usable():
    upstream = Upstream(says(top_list(1)))
    assert not made(COINDESK, upstream, key=None).usable
    assert made(COINDESK, upstream).usable


def test_a_source_that_needs_no_key_is_usable_and_sends_none_it_is_given():
    source = made(COINDESK.model_copy(update={"key": None}), Upstream(says(top_list(1))))
    assert source.usable
    assert source.interval(MINUTE) == MINUTE


@pytest.mark.parametrize(
    ("key", "url", "asked", "borne"),
    [
        (KEY, None, MINUTE, MINUTE),
        (None, None, MINUTE, 5 * MINUTE),
        (None, None, 7 * MINUTE, 7 * MINUTE),
        (None, "http://127.0.0.1:9000", MINUTE, MINUTE),
        (None, "https://proxy.example", MINUTE, 5 * MINUTE),
    ],
)
def test_a_source_without_a_key_is_asked_no_faster_than_its_pace(key, url, asked, borne):
    assert made(CMC, Upstream(says({})), key=key, url=url).interval(asked) == borne


# What is left of a key's credits


async def test_the_credits_left_are_those_the_upstream_reports():
    upstream = Upstream(says(recorded("cmc-key-info-1-20240122T1635Z"), date="Mon, 22 Jan 2024 16:35:07 GMT"))
    left = await made(CMC, upstream).allowance()
    assert left is not None
    assert (left.left, left.limit) == (109815.0, 110000.0)
    assert left.resets_at == datetime(2024, 2, 11, 20, 38, 4, tzinfo=UTC)
    assert left.per_minute == 30
    assert [str(request.url) for request in upstream.asked] == ["https://pro-api.coinmarketcap.com/v1/key/info"]
    assert upstream.asked[0].headers["x-cmc_pro_api_key"] == KEY


@pytest.mark.parametrize("reset", [None, "soon", 1e300, -5e12, 1e18])
async def test_a_reset_that_is_no_time_is_not_reported(reset):
    answer = recorded("cmc-key-info-1-20240122T1635Z")
    answer["data"]["plan"]["credit_limit_monthly_reset_timestamp"] = reset
    left = await made(CMC, Upstream(says(answer))).allowance()
    assert left is not None
    assert (left.left, left.resets_at) == (109815.0, None)


async def test_no_credits_are_reported_without_a_key_or_by_an_upstream_that_reports_none():
    upstream = Upstream(says({}))
    key = CMC.key.model_copy(update={"quota": None}) if CMC.key else None
    assert await made(CMC, upstream, key=None).allowance() is None
    assert await made(CMC.model_copy(update={"key": key}), upstream).allowance() is None
    assert not upstream.asked


@pytest.mark.parametrize(
    ("month", "limit", "expected"),
    [
        ({"credits_used": 185}, 1000, (815, 1000)),
        ({"credits_used": "185", "credits_left": "815"}, None, (815, 1000)),
        ({"credits_left": 815}, None, (815, None)),
        ({"credits_used": 1200}, 1000, (0, 1000)),
    ],
)
async def test_the_credits_left_come_from_what_the_answer_has(month, limit, expected):
    answer = {"data": {"plan": {"credit_limit_monthly": limit}, "usage": {"current_month": month}}}
    allowance = await made(CMC, Upstream(says(answer))).allowance()
    assert allowance is not None
    assert (allowance.left, allowance.limit) == expected


@pytest.mark.parametrize("month", [{}, {"credits_used": 185}, {"credits_left": -1}, {"credits_left": "none"}])
async def test_credits_that_cannot_be_known_are_an_error(month):
    answer = {"data": {"plan": {}, "usage": {"current_month": month}}}
    with pytest.raises(SourceMalformed, match="no credits at data"):
        await made(CMC, Upstream(says(answer))).allowance()


async def test_coindesks_calls_are_its_credits_and_used_up_calls_are_waited_for():
    app = create_app(Market(1, 250), FakeClock(), coindesk_plan=Plan(credits_per_month=4))
    source = Source(
        COINDESK, client=httpx.AsyncClient(transport=httpx.ASGITransport(app)), clock=FakeClock(), key=SecretStr(KEY)
    )
    reading = await source.read(250, MINUTE)
    assert reading.credits == 3
    allowance = await source.allowance()  # is a call too
    assert allowance is not None
    assert (allowance.left, allowance.limit, allowance.resets_at) == (0, 4, None)
    with pytest.raises(SourceExhausted, match="not asked again before 2026-08-02T00:00:00Z"):
        await source.read(250, MINUTE)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says({"data": {}}), SourceMalformed),
        (says(recorded("cmc-error-http401"), 401), SourceRejected),
        (fails(httpx.ConnectError("refused")), SourceUnavailable),
    ],
)
async def test_credits_that_cannot_be_read_are_an_error_of_ours(answer, kind):
    with pytest.raises(kind, match="coinmarketcap: GET /v1/key/info"):
        await made(CMC, Upstream(answer)).allowance()
