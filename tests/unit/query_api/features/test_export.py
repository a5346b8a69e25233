"""`/v1/export` over HTTP, in process: what it takes, refuses, and how a file that breaks off is known."""

import asyncio
import gc
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import urljoin

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message
from structlog.testing import capture_logs

from lib.access import new_key
from lib.archive.panel import METADATA, Totals, totals_of
from lib.clock import isoformat
from lib.errors import Busy, StoreUnavailable
from lib.instants import Span
from lib.store import Store
from query_api.asof.top_list import ListQuery, TopListFinder
from query_api.features.export.job import write_parquet
from query_api.features.export.response import ExportResponse, to_csv
from query_api.features.export.work import Steps, read_steps
from query_api.long_work import REQUESTS_PER_CLIENT, LongWork
from query_api.middleware.access import Access
from tests.fakes import FakeClock
from tests.unit.query_api.exports import COLUMNS, export_chunks
from tests.unit.query_api.market import (
    FIRST,
    MAX_AGE,
    MINUTE,
    NOW,
    CountingStore,
    Prices,
    Ranks,
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
    """Is away after this many queries."""

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


SPAN = Span(FIRST, FIRST + 10 * MINUTE, MINUTE)
SECONDS = Span(FIRST, FIRST + 37 * MINUTE, MINUTE / 60)
A_BLOCK = 6
"""The queries of a block of steps: markers, two sides, prices of lower tiers, and the spans of gaps."""


def read_all(store: Store, span: Span, long_work: LongWork | None = None) -> Steps:
    lists = TopListFinder(store, max_skew=MINUTE)
    return read_steps(lists, span, ListQuery(3, MAX_AGE), long_work or LongWork())


async def read(chunks: AsyncIterator[bytes], body: bytearray) -> None:
    async for chunk in chunks:
        body += chunk


READERS: dict[str, Any] = {
    "csv": partial(pl.read_csv, comment_prefix="#"),
    "ndjson": partial(pl.read_ndjson, infer_schema_length=None),
    "parquet": pl.read_parquet,
}
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
    shown = {name: answer.headers[name] for name in ("x-from", "x-to", "x-steps")}
    assert shown == {"x-from": isoformat(FIRST), "x-to": isoformat(FIRST + 30 * MINUTE), "x-steps": "6"}
    assert {name: head.headers[name] for name in shown} == shown
    assert answer.headers["content-location"].startswith("?from=2026-11-17T14%3A00%3A00Z&to=")
    assert head.content == b""


async def test_the_parquet_of_the_api_reads_as_a_table(store, clock):
    async with calling(store, clock) as client:
        answer = await client.get(f"{ASKED}&format=parquet")
    table = pl.read_parquet(io.BytesIO(answer.content))
    assert table["step"].unique().to_list() == [FIRST + minute * MINUTE for minute in range(0, 30, 5)]
    assert table["symbol"].to_list()[:3] == ["USDT", "BTC", "ETH"]
    assert table.filter(pl.col("gap").is_not_null())["step"].to_list() == [FIRST + 25 * MINUTE]


async def test_a_step_in_a_gap_has_the_list_that_max_age_allows(store, clock):
    async with calling(store, clock) as client:
        for max_age, gaps in (("1m", 3), ("1h", 0)):
            answer = await client.get(f"{ASKED}&format=csv&max_age={max_age}")
            assert f" gaps={gaps} " in answer.text
            assert f"max_age={max_age}" in answer.headers["content-location"]


WRONG = [
    ("every=0s", "every", "must be above 0"),
    ("every=often", "every", "is not a duration"),
    ("every=1s&from=now-3h", "every", "makes 10800 steps; a request may have 10000"),
    ("format=xlsx", "format", "they are csv, ndjson, parquet"),
    ("to=2026-11-18", "to", "in the future"),
    ("from=now&to=now-1h", "from", "lies after `to`"),
    ("top=0", "top", "is less than 1, the least"),
    ("known_at=2027-01-01", "known_at", "in the future"),
    ("columns=price_usd,nope", "columns", "'nope' is no column; they are step, rank, cmc_id"),
    ("max_age=25h", "max_age", "at most 24h"),
    ("exclude=memes", "exclude", "these can: stablecoins, wrapped"),
]


async def test_an_error_names_the_wrong_parameter(store, clock, subtests):
    async with calling(store, clock) as client:
        for asked, parameter, says in WRONG:
            with subtests.test(asked=asked):
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
    body = bytearray()
    with pytest.raises(StoreUnavailable):
        await read(export_chunks(format, read_all(failing, SECONDS)), body)
    assert b"end" not in body
    assert not body.endswith(b"PAR1")


class Reader:
    """An ASGI server with a reader that disconnects after this many chunks; `sent` is what the response sent."""

    def __init__(self, chunks: int = 1_000_000) -> None:
        self.left = chunks
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.left -= message["type"] == "http.response.body"
        if self.left < 0:
            raise OSError
        self.sent.append(message)

    async def receive(self) -> Message:
        raise AssertionError

    async def read(self, response: Response) -> None:
        scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.4"}}
        await response(scope, self.receive, self.send)


def response(steps: Steps, long_work: LongWork) -> ExportResponse:
    running = AsyncExitStack()
    running.enter_context(long_work.request("alice"))
    running.push_async_callback(steps.aclose)
    return ExportResponse(to_csv(steps, COLUMNS, Totals(), long_work), running)


async def test_a_reader_that_disconnects_ends_the_export_and_its_reads(store):
    long_work = LongWork(per_client=1)
    steps = read_all(store, SECONDS)
    export = response(steps, long_work)
    with pytest.raises(Busy), long_work.request("alice"):
        pass
    with pytest.raises(ClientDisconnect):
        await Reader(chunks=2).read(export)
    assert store.asked <= 3 * A_BLOCK
    assert await anext(steps, None) is None
    with long_work.request("alice"):
        pass


async def test_a_response_that_never_begins_is_no_running_export(store):
    long_work = LongWork(per_client=1)
    response(read_all(store, SPAN), long_work)
    gc.collect()
    with long_work.request("alice"):
        pass


async def test_a_response_that_breaks_off_is_not_completed_and_logged_without_a_traceback(failing):
    failing.left = 2 * A_BLOCK
    reader = Reader()
    with capture_logs() as logged:
        await reader.read(response(read_all(failing, SECONDS), LongWork()))
    start, *bodies = reader.sent
    assert start["type"] == "http.response.start"
    assert len(bodies) > 1
    assert all(body["more_body"] for body in bodies)
    assert [entry["event"] for entry in logged] == ["export broke off"]
    assert logged[0]["why"] == "away"


async def test_only_one_block_of_steps_is_read_ahead(store):
    steps = read_all(store, SECONDS)
    await anext(steps)
    await until_idle()
    assert store.asked <= 2 * A_BLOCK
    await steps.aclose()


class Gated(CountingStore):
    """Answers once its gate opens; counts the queries that wait, and the most at a time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.snapshots = stocked(clock).snapshots
        self.gate = asyncio.Event()
        self.waiting = self.most = 0

    async def ready(self) -> None:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.gate.wait()
        await asyncio.sleep(0)
        self.waiting -= 1
        await super().ready()


async def until_idle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def test_steps_of_twelve_exports_send_few_queries_at_a_time_and_a_slow_reader_keeps_no_place(clock):
    store, long_work = Gated(clock), LongWork()
    exports = [read_all(store, SPAN, long_work) for _ in range(12)]
    first = [asyncio.create_task(anext(each)) for each in exports]
    await until_idle()
    assert store.waiting == 1
    store.gate.set()
    await asyncio.gather(*first)
    await until_idle()  # the reader stops: what was read ahead waits outside the lane
    async with long_work.step():
        pass
    for each in exports:
        assert len([step async for step in each]) == SPAN.steps - 1
    assert store.most <= 2


async def test_a_client_with_too_many_exports_is_refused_and_others_are_not(clock):
    store = Gated(clock)
    keys = {"alice": new_key("alice"), "bob": new_key("bob")}
    async with calling(store, clock, access=Access(keys=dict(key.line.split(":") for key in keys.values()))) as client:
        headers = {name: {"x-api-key": key.key} for name, key in keys.items()}
        waiting = [asyncio.create_task(client.get(ASKED, headers=headers["alice"])) for _ in range(REQUESTS_PER_CLIENT)]
        await until_idle()
        refused = await client.get(ASKED, headers=headers["alice"])
        waiting.append(asyncio.create_task(client.get(ASKED, headers=headers["bob"])))
        await asyncio.sleep(0)
        store.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert "alice has 16 exports" in refused.json()["detail"]


@pytest.mark.parametrize("format", ["csv", "ndjson"])
async def test_head_of_a_stream_states_no_length(store, clock, format):
    async with calling(store, clock) as client:
        head = await client.head(f"{ASKED}&format={format}")
    assert "content-length" not in head.headers
    assert store.asked == 0


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
async def test_the_link_of_a_file_and_the_known_at_at_its_end_give_its_bytes_again(store, clock, format, tmp_path):
    """The header of a file that is sent while it is made is written before its end is known."""
    async with calling(store, clock) as client:
        first = await client.get(f"{ASKED}&format={format}")
        clock.move(hours=1)
        again = await client.get(urljoin("/v1/export", first.headers["content-location"]))
        (file := tmp_path / f"top.{format}").write_bytes(first.content)
        totals = totals_of(file, format)
        assert totals
        last = await client.get(f"{ASKED}&format={format}&known_at={isoformat(totals.known_at)}")
    assert totals.known_at < NOW
    assert first.content == again.content == last.content


async def test_a_file_of_gaps_alone_names_the_known_at_that_it_was_asked_for(store, clock):
    async with calling(store, clock) as client:
        file = await client.get(f"{ASKED}&known_at={isoformat(FIRST - 60 * MINUTE)}")
    assert "answered=0 gaps=6 rows=0 known_at=2026-11-17T13:00:00Z" in file.text


async def test_a_csv_export_has_the_bytes_of_the_list_at_the_same_instant(store, clock):
    async with calling(store, clock) as client:
        export = await client.get("/v1/export?from=2026-11-17T14:05:00Z&to=2026-11-17T14:06:00Z&every=1m&top=5")
        names = "rank,cmc_id,symbol,name,price_usd,volume_24h_usd,source_rank"
        alone = await client.get(f"/v1/top?format=csv&datetime=2026-11-17T14:05:00Z&limit=5&columns={names}")
    rows = [line.partition(",")[2] for line in export.text.split("\r\n")[1:-2]]
    lines = alone.text.split("\r\n")[1:-1]
    assert len(rows) == len(lines) == 5
    assert all(row.startswith(f"{line},") for row, line in zip(rows, lines, strict=True))


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
async def test_filters_and_columns_choose_what_a_file_has(store, clock, format, tmp_path):
    wanted = "columns=symbol,price_usd,change_1h_pct,price_snapshot&ids=1,1027,4711"
    async with calling(store, clock) as client:
        answer = await client.get(f"{ASKED}&format={format}&{wanted}")
    file = tmp_path / f"top.{format}"
    file.write_bytes(answer.content)
    rows = READERS[format](file).filter(pl.col("symbol").is_not_null())
    assert rows.select(pl.exclude("^(end|steps|answered|gaps|rows|known_at|snapshots|missing)$")).columns == [
        "step",
        "symbol",
        "price_usd",
        "change_1h_pct",
        "price_snapshot",
        "gap",
    ]
    assert rows["symbol"].to_list() == ["BTC", "ETH"] * 5
    assert rows["price_snapshot"].n_unique() > 1
    totals = totals_of(file, format)
    assert totals
    assert totals.missing == {"4711"}


async def test_filters_of_an_export_are_those_of_the_list(store, clock):
    async with calling(store, clock) as client:
        export = await client.get(f"{ASKED}&exclude=stablecoins&max_volume_to_cap=2&columns=symbol")
        alone = await client.get("/v1/top?datetime=2026-11-17T14:00Z&limit=3&exclude=stablecoins&max_volume_to_cap=2")
    symbols = [row["symbol"] for row in alone.json()["data"]]
    assert [line.split(",")[1] for line in export.text.splitlines()[1 : 1 + len(symbols)]] == symbols


class TestParquet:
    """A file with a length, readable in ranges, made once for all the requests of one reader."""

    async def test_it_has_a_length_and_is_read_in_ranges_of_one_file(self, store, clock):
        async with calling(store, clock) as client:
            head = await client.head(f"{ASKED}&format=parquet")
            asked = store.asked
            length = int(head.headers["content-length"])
            ranges = [f"bytes={length - 8}-", "bytes=0-3", f"bytes=4-{length - 9}"]
            parts = [await client.get(f"{ASKED}&format=parquet", headers={"range": each}) for each in ranges]
            whole = await client.get(f"{ASKED}&format=parquet")
        assert head.headers["accept-ranges"] == "bytes"
        assert {part.status_code for part in parts} == {206}
        end, start, middle = (part.content for part in parts)
        assert start + middle + end == whole.content
        assert (start, end[4:]) == (b"PAR1", b"PAR1")
        assert {answer.headers["etag"] for answer in (head, whole, *parts)} == {head.headers["etag"]}
        assert store.asked == asked

    async def test_another_worker_makes_the_same_file_so_that_ranges_of_both_fit(self, clock, tmp_path):
        store = CountingStore(clock)
        await fill(store, large_market(1, 900))
        span = Span(NOW - 2 * MINUTE, NOW, MINUTE / 20)
        lists = TopListFinder(store, max_skew=MINUTE)
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            long_work = LongWork()
            steps = read_steps(lists, span, ListQuery(700, MAX_AGE, clock()), long_work)
            file = tmp_path / name / "whole"
            await write_parquet(file, steps, COLUMNS, Totals(), long_work, dict)
            clock.move(seconds=1)
        assert pl.read_parquet(file).height > 20_000
        assert file.read_bytes() == (tmp_path / "one" / "whole").read_bytes()

    async def test_its_metadata_has_the_request_and_the_totals(self, store, clock):
        async with calling(store, clock, notice="from the office") as client:
            answer = await client.get(f"{ASKED}&format=parquet&symbols=BTC,NOPE")
            about = orjson.loads(pl.read_parquet_metadata(io.BytesIO(answer.content))[METADATA])
            clock.move(hours=1)
            again = await client.get(about["question"])
        assert about["from"] == isoformat(FIRST)
        assert (about["every"], about["top"], about["missing"]) == ("5m", 3, ["NOPE"])
        assert about["notice"] == answer.headers["x-notice"] == "from the office"
        assert about["known_at"] == answer.headers["x-known-at"]
        assert {name: about[name] for name in ("steps", "answered", "gaps", "rows")} == {
            "steps": 6, "answered": 5, "gaps": 1, "rows": 5,
        }  # fmt: skip
        assert_frame_equal(pl.read_parquet(io.BytesIO(again.content)), pl.read_parquet(io.BytesIO(answer.content)))

    async def test_a_step_whose_list_has_no_rows_is_a_step(self, clock, tmp_path):
        store = CountingStore(clock)
        await fill(store, [Prices(FIRST, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(FIRST, [(2, 1.0)])])
        await fill(
            store, [Prices(FIRST + MINUTE, [(1, "BTC", "Bitcoin", 1.0, 1.0)]), Ranks(FIRST + MINUTE, [(1, 1.0)])]
        )
        async with calling(store, clock) as client:
            for format in ("csv", "ndjson", "parquet"):
                answer = await client.get(
                    f"/v1/export?from=2026-11-17T14:00:00Z&to=2026-11-17T14:02:00Z&every=1m&format={format}"
                )
                file = tmp_path / f"top.{format}"
                file.write_bytes(answer.content)
                totals = totals_of(file, format)
                assert totals
                assert (totals.steps, totals.answered, totals.gaps, totals.rows) == (2, 2, 0, 1), format


@pytest.mark.parametrize("start", ["now-30m", isoformat(NOW - 30 * MINUTE)])
async def test_the_steps_of_an_export_are_those_of_a_history(start) -> None:
    """PE-30."""
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as caller:
        asked = {"from": start, "every": "10m"}
        history = (await caller.get("/v1/assets/1/history", params=asked | {"fill": "null"})).json()["data"]
        export = (await caller.get("/v1/export", params=asked | {"format": "ndjson"})).text.splitlines()
    steps = list(dict.fromkeys(json.loads(line)["step"] for line in export[:-1]))
    assert steps == [point["at"] for point in history]
    assert steps[0] == (isoformat(FIRST) if start == "now-30m" else start)
