"""The upstream's clock, as its answers show it."""

import json
import math
from datetime import timedelta

import httpx
import polars as pl
import pytest

from lib.schema import PRICE
from lib.source.reading import Reading, UpstreamTime, time_of
from tests.fakes import NOON, FakeClock, Upstream, recorded, says
from tests.unit.source.test_upstream import CMC, COINDESK, MINUTE, listing, made, paged, top_list

DATE = "Sat, 01 Aug 2026 12:00:00 GMT"
STAMP = "2026-08-01T11:59:58.000Z"


def seconds(earliest: float, latest: float) -> UpstreamTime:
    return UpstreamTime(NOON + timedelta(seconds=earliest), NOON + timedelta(seconds=latest))


CLOCKS = [
    ({"date": DATE}, None, seconds(0, 0)),
    ({"date": DATE, "age": "40"}, None, seconds(0, 40)),
    ({"date": DATE, "age": " 40 "}, STAMP, seconds(0, 40)),
    ({"date": "Sat, 01 Aug 2026 14:00:00 +0200"}, STAMP, seconds(0, 0)),
    ({"age": "40"}, STAMP, seconds(-2, -2)),
    ({}, STAMP, seconds(-2, -2)),
    ({"date": "yesterday"}, STAMP, seconds(-2, -2)),
    ({}, NOON.timestamp(), seconds(0, 0)),
    ({}, None, None),
    ({}, "soon", None),
    ({}, 1e300, None),
    ({}, True, None),
    ({"date": "Fri, 31 Dec 9999 23:59:59 -2359"}, None, None),
    ({"date": "Fri, 31 Dec 9999 23:59:59 -2359"}, STAMP, seconds(-2, -2)),
    *(({"date": DATE, "age": age}, None, seconds(0, 0)) for age in ("-5", "soon", "1.5", "\u0663", ",5")),
    *(({"date": DATE, "age": age}, None, seconds(0, 86400)) for age in ("999999999", "9" * 20, "9" * 5000)),
    *(({"date": DATE, "age": age}, None, seconds(0, 5)) for age in ("5, 70", "5,soon")),
]


def test_the_clock_is_between_date_and_date_plus_age_else_the_timestamp(subtests):
    for headers, timestamp, time in CLOCKS:
        with subtests.test(headers=headers):
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            assert time_of(httpx.Headers(raw), {"at": timestamp}, "at") == time


async def test_a_reading_spans_the_clocks_of_all_its_pages():
    upstream = Upstream(
        says(top_list(*range(1, 101)), date=DATE),
        says(top_list(*range(101, 201)), date="Sat, 01 Aug 2026 12:00:03 GMT", age="2"),
        says(top_list(*range(201, 301))),
    )
    assert (await made(COINDESK, upstream).read(300, MINUTE)).upstream_time == seconds(0, 5)


async def test_without_a_date_coinmarketcap_has_a_timestamp_and_coindesk_no_time():
    reading = await made(CMC, Upstream(says(listing(1, timestamp=STAMP)))).read(1, MINUTE)
    assert reading.upstream_time == seconds(-2, -2)
    assert (await made(COINDESK, Upstream(says(top_list(1)))).read(1, MINUTE)).upstream_time is None


async def test_a_recorded_list_has_the_instant_of_its_newest_value():
    answer = recorded("cmc-listings-latest-100-20240317T1034Z")
    stamps = [record["quote"]["USD"]["last_updated"] for record in answer["data"]]
    reading = await made(paged(CMC, total=None), Upstream(says(json.dumps(answer).encode()))).read(100, MINUTE)
    assert reading.newest_update is not None
    assert reading.newest_update.isoformat() == max(stamps).replace(".000Z", "+00:00")


@pytest.mark.parametrize("value", ["soon", True, None, 1e300, "1_000", "\uff12026-08-01T12:00:00Z"])
async def test_values_without_a_readable_time_have_no_newest(value):
    body = listing(1)
    body["data"][0]["quote"]["USD"]["last_updated"] = value
    reading = await made(CMC, Upstream(says(body)), clock=FakeClock()).read(1, MINUTE)
    assert reading.newest_update is None


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e300, -5.0, None])
def test_a_value_that_is_no_instant_is_not_the_newest(odd):
    rows = pl.DataFrame({"cmc_id": [1, 2], "updated_at": [NOON.timestamp(), odd]})
    reading = Reading("acme", PRICE, rows, 2, {}, 0.0, NOON, timedelta())
    assert reading.newest_update == NOON
