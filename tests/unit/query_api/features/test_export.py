"""`/v1/export` over HTTP, in process: what it takes, refuses, and how a file that breaks off is known."""

import asyncio
import io
from collections.abc import AsyncIterator

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lib.clock import isoformat
from lib.errors import StoreUnavailable
from lib.schema import PRICE
from query_api.asof.hourly_rows import HourlyRows
from query_api.asof.top_list import TopListFinder
from query_api.features.export.response import exported
from query_api.features.export.work import AT_ONCE, Span, steps
from tests.fakes import FakeClock
from tests.unit.query_api.market import (
    FIRST,
    HOUR,
    MAX_AGE,
    MINUTE,
    NOW,
    CountingStore,
    calling,
    fill,
    history,
    large_market,
    stocked,
)


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def store(clock):
    return stocked(clock)


class Failing(CountingStore):
    """Goes away after so many questions."""

    left = 40

    async def ready(self):
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailable("away")


@pytest.fixture
def failing(clock):
    store = Failing(clock)
    store.snapshots = {(each.series.name, each.tick): each for each in history()}
    return store


async def read(chunks: AsyncIterator[bytes], body: bytearray) -> None:
    async for chunk in chunks:
        body += chunk


ASKED = "/v1/export?from=2026-11-17T14:00:00Z&to=2026-11-17T14:30:00Z&every=5m&top=3"


@pytest.mark.parametrize(
    ("format", "kind"),
    [
        ("CSV", "text/csv; charset=utf-8; header=present"),
        ("ndjson", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
async def test_a_file_comes_with_its_name_and_its_span(store, clock, format, kind):
    async with calling(store, clock) as client:
        answer = await client.get(f"{ASKED}&format={format}")
        head = await client.head(f"{ASKED}&format={format}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="topcoins-20261117T140000Z-6.{format.lower()}"'
    )
    told = {name: answer.headers[name] for name in ("x-from", "x-to", "x-steps")}
    assert told == {"x-from": isoformat(FIRST), "x-to": isoformat(FIRST + 30 * MINUTE), "x-steps": "6"}
    assert {name: head.headers[name] for name in told} == told
    assert head.content == b""


async def test_the_parquet_of_the_api_reads_as_a_table(store, clock):
    async with calling(store, clock) as client:
        answer = await client.get(f"{ASKED}&format=parquet")
    table = pl.read_parquet(io.BytesIO(answer.content))
    assert table["step"].unique().to_list() == [FIRST + minute * MINUTE for minute in range(0, 30, 5)]
    assert table["symbol"].to_list()[:3] == ["USDT", "BTC", "ETH"]
    assert table.filter(pl.col("gap").is_not_null())["step"].to_list() == [FIRST + 25 * MINUTE]


@pytest.mark.parametrize(
    ("asked", "parameter", "says"),
    [
        ("every=0s", "every", "must be above 0"),
        ("every=often", "every", "is not a duration"),
        ("every=1s&from=now-3h", "every", "makes 10800 steps; a request may have 10000"),
        ("format=xlsx", "format", "they are csv, ndjson, parquet"),
        ("to=2026-11-18", "to", "in the future"),
        ("from=now&to=now-1h", "from", "lies after `to`"),
        ("top=0", "top", "greater than or equal to 1"),
        ("known_at=2027-01-01", "known_at", "in the future"),
    ],
)
async def test_what_is_wrong_is_told_with_its_parameter(store, clock, asked, parameter, says):
    async with calling(store, clock) as client:
        answer = await client.get(f"/v1/export?{asked}")
    assert answer.status_code == 422
    assert answer.json()["parameter"] == parameter
    assert says in answer.json()["detail"]


async def test_a_store_that_is_away_from_the_start_is_a_503(store, clock):
    store.failure = StoreUnavailable("away")
    async with calling(store, clock) as client:
        answer = await client.get(ASKED)
    assert answer.status_code == 503


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
async def test_a_file_that_breaks_off_is_raised_and_has_no_end(failing, format):
    span = Span(FIRST, FIRST + 30 * MINUTE, MINUTE)
    lists = TopListFinder(failing, max_skew=MINUTE)
    found = steps(lists, span, limit=3, max_age=MAX_AGE, known_at=None)
    body = bytearray()
    with pytest.raises(StoreUnavailable):
        await read(exported(format, found, limit=3, extras=()), body)
    assert b"end" not in body
    assert not body.endswith(b"PAR1")


@pytest.mark.parametrize("format", ["csv", "ndjson"])
async def test_a_reader_that_goes_away_ends_the_reading_of_the_store(store, format):
    span = Span(FIRST, FIRST + 37 * MINUTE, MINUTE / 60)
    lists = TopListFinder(store, max_skew=MINUTE)
    found = steps(lists, span, limit=3, max_age=MAX_AGE, known_at=None)
    body = exported(format, found, limit=3, extras=())
    await anext(body)
    await body.aclose()
    await found.aclose()
    assert store.asked <= 4 * AT_ONCE


async def test_no_more_steps_are_asked_ahead_than_are_told(store):
    span = Span(FIRST + MINUTE, FIRST + 10 * MINUTE, MINUTE)
    found = steps(TopListFinder(store, max_skew=MINUTE), span, limit=3, max_age=MAX_AGE, known_at=None)
    await anext(found)
    before = store.asked
    await asyncio.sleep(0)
    assert before <= 3 * AT_ONCE
    await found.aclose()


async def test_the_hours_of_a_day_are_read_together(clock):
    store = CountingStore(clock)
    midnight = FIRST - 14 * HOUR
    for hour in range(14):
        await fill(store, [large_market(hour, 300, midnight + hour * HOUR + 3 * MINUTE)[0]])
    hours = [marker.tick for marker in await store.markers(midnight, FIRST, series="price")]
    reader = HourlyRows(store, FIRST)
    store.asked = 0
    for tick in hours:
        for tiers in (range(2), range(5)):
            alone = await store.rows(PRICE, tick, tiers=tiers, fields=("usd",))
            assert_frame_equal(await reader.rows(PRICE, tick, tiers=tiers, fields=("usd",)), alone)
    assert store.asked == len(hours) * 3 + 2
