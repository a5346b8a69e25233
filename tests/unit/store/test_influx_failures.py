"""Every way a query to InfluxDB can fail: which error the caller gets, and that no list is incomplete."""

import asyncio
import gzip
import json
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr

from lib.clock import utc_now
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.schema import PRICE, VOLUME_RANK
from lib.store.influx import InfluxStore, lines
from lib.store.influx import answer as csv_answer
from lib.store.influx.claims import USED, Claim
from lib.store.influx.markers import read_markers
from lib.store.influx.server import MOST_BYTES, Server
from tests.contract.snapshots import many, snapshot
from tests.fakes import NOON, FakeClock
from tests.sample import sample_snapshot
from tests.unit.query_api.market import calling

CANARY = "canary-token-8f2e"
HEADER = ",result,table,_value,_field,cmc_id,name,symbol,tier\r\n"
ROW = ",_result,0,1.5,usd,1,Bitcoin,BTC,0\r\n"
ERROR_TABLE = "\r\n\r\n,error,reference\r\n,runtime error @1:1-1:9: block is damaged,\r\n"

Speak = Callable[[bytes, asyncio.StreamWriter], None]
"""The answer to a request, given its head and body."""


def answer(status: int, body: str = "", **headers: str) -> Speak:
    named = {"Content-Type": "text/csv", "Content-Length": str(len(body.encode()))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())

    def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Said\r\n{head}\r\n{body}".encode())

    return speak


def refusal(status: int, message: str, **headers: str) -> Speak:
    return answer(status, json.dumps({"code": "said", "message": message}), **headers)


def cut_in_the_middle(request: bytes, writer: asyncio.StreamWriter) -> None:
    chunk = HEADER + ROW
    writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len(chunk):x}\r\n{chunk}\r\n".encode())
    writer.close()


def cut_before_a_word(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


def silent(request: bytes, writer: asyncio.StreamWriter) -> None:
    pass


def dripping(request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{HEADER}{ROW}".encode())


FREE = answer(204), answer(200), answer(200)
"""The answers to a write before its rows: the claim is accepted, there is no other, and no row of the tick."""


class Double:
    """Speaks as an InfluxDB would on a bad day. Keeps the requests."""

    def __init__(self, *answers: Speak) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self._talks: dict[asyncio.Future[None], asyncio.StreamWriter] = {}

    async def close(self) -> None:
        for ended, writer in self._talks.items():
            writer.close()
            await ended

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.get_running_loop().create_future()
        self._talks[ended] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b"")
                body = await reader.readexactly(int(length.partition(b":")[2] or 0))
                self.asked.append(head + body)
                speak = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                speak(self.asked[-1], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            ended.set_result(None)


@asynccontextmanager
async def double(
    *answers: Speak, patience: timedelta = timedelta(seconds=5)
) -> AsyncIterator[tuple[InfluxStore, Double]]:
    """A store on a server that gives these answers in turn, the last for ever."""
    server = Double(*answers)
    async with serving(server) as url:
        store = a_store(url, timeout=patience)
        try:
            yield store, server
        finally:
            await store.close()


@asynccontextmanager
async def serving(double_: Double) -> AsyncIterator[str]:
    server = await asyncio.start_server(double_.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()
        await double_.close()


def a_store(url: str, token: str | None = CANARY, timeout: timedelta = timedelta(seconds=5)) -> InfluxStore:
    secret = SecretStr(token) if token else None
    return InfluxStore(url, org="topcoins", bucket="market", token=secret, clock=FakeClock(), timeout=timeout)


READS = {
    "rows": lambda store: store.rows(PRICE, NOON),
    "markers": lambda store: store.markers(NOON, NOON),
    "nearest": lambda store: store.nearest("price", NOON),
    "first": lambda store: store.first("price"),
    "ready": lambda store: store.ready(),
}

SAID = {
    "an error table after rows": (answer(200, HEADER + ROW + ERROR_TABLE), StoreUnavailable, "block is damaged"),
    "an error table alone": (answer(200, ERROR_TABLE.lstrip()), StoreUnavailable, "block is damaged"),
    "an error table in its documented form": (
        answer(200, HEADER + ROW + "\r\nerror,reference\r\nblock is damaged,897\r\n"),
        StoreUnavailable,
        "block is damaged",
    ),
    "an error before its first byte": (refusal(400, "runtime error @1:1-1:9: boom"), StoreUnavailable, "boom"),
    "a refused token": (refusal(401, "unauthorized access"), StoreRejected, "TOPCOINS_INFLUX_TOKEN"),
    "a token that may not": (refusal(403, "insufficient permissions"), StoreRejected, "TOPCOINS_INFLUX_TOKEN"),
    "no such organisation": (refusal(400, 'organization name "topcoins" not found'), StoreRejected, "topcoins init"),
    "a query it can't parse": (refusal(400, "undefined identifier x"), StoreRejected, "undefined identifier"),
    "a full queue": (refusal(400, "queue length exceeded"), StoreUnavailable, "queue length"),
    "too many requests": (refusal(429, "slow down", Retry_After="7"), StoreUnavailable, "slow down"),
    "an inner error": (refusal(500, "panic: boom"), StoreUnavailable, "boom"),
    "a proxy without its server": (answer(502, "<html>bad gateway"), StoreUnavailable, "bad gateway"),
    "unavailable": (answer(503, "", Retry_After="30"), StoreUnavailable, "503"),
    "a redirect": (answer(302, "", Location="http://127.0.0.1:1/"), StoreRejected, "302"),
    "the connection cut in the middle": (cut_in_the_middle, StoreUnavailable, "InfluxDB at http"),
    "the connection cut before a word": (cut_before_a_word, StoreUnavailable, "InfluxDB at http"),
}


@pytest.mark.stack
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("answer", SAID)
async def test_a_failing_read_raises_the_error_that_names_what_to_do(answer, read):
    speak, error, words = SAID[answer]
    async with double(speak) as (store, _):
        with pytest.raises(error, match=words) as failure:
            await READS[read](store)
    assert "InfluxDB at http://127.0.0.1" in str(failure.value)
    assert CANARY not in "".join(traceback.format_exception(failure.value))


@pytest.mark.stack
@pytest.mark.parametrize("answer", SAID)
async def test_the_api_answers_503_with_retry_after_and_no_list(answer):
    speak, *_ = SAID[answer]
    async with double(speak) as (store, _), calling(store, FakeClock()) as client:
        answers = [await client.get(path) for path in ("/", "/v1/top?format=csv&datetime=now-1m", "/readyz")]
    for response in answers:
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert response.headers["content-type"] == "application/problem+json"
        assert "data" not in response.json()
        assert CANARY not in response.text


@pytest.mark.stack
@pytest.mark.parametrize("read", ["rows", "markers", "ready"])
async def test_a_bucket_that_is_missing_is_named(read):
    async with double(refusal(404, 'could not find bucket "market"')) as (store, _):
        with pytest.raises(StoreRejected, match=r'bucket "market".*topcoins init'):
            await READS[read](store)


@pytest.mark.stack
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("speak", [silent, dripping])
async def test_a_server_that_is_too_slow_is_unavailable(read, speak):
    async with double(speak, patience=timedelta(milliseconds=50)) as (store, _):
        with pytest.raises(StoreUnavailable, match="no whole answer within"):
            await READS[read](store)


@pytest.mark.stack
@pytest.mark.parametrize("read", READS)
async def test_a_server_that_is_not_there_is_unavailable(read):
    async with double(silent) as (store, _):
        pass
    with pytest.raises(StoreUnavailable, match="InfluxDB at http"):
        await READS[read](store)
    await store.close()


@pytest.mark.stack
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("9" * 5000, 86400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86400),
        ("soon", None),
    ],
)
async def test_the_wait_a_busy_server_asks_for_is_passed_on(header, seconds):
    async with double(refusal(503, "busy", Retry_After=header)) as (store, _):
        with pytest.raises(StoreUnavailable) as failure:
            await store.rows(PRICE, NOON)
    assert failure.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


MARKER = {
    "assets": "3", "rejected": "0", "duplicates": "0", "duration_s": "1.5", "observed_at": "1785585600", "credits": "1",
    "interval_s": "60", "unchanged": "0", "backfilled": "0", "ids": "x", "stored_at": "1785585601",
}  # fmt: skip


def marker_csv(time: str = "2026-08-01T12:00:00Z", **fields: str) -> str:
    lines = [f",_result,0,{time},price,acme,{name},{value}\r\n" for name, value in {**MARKER, **fields}.items()]
    return ",result,table,_time,series,source,_field,_value\r\n" + "".join(lines)


NONSENSE = {
    "a number that is none": {"assets": "many"},
    "more than there are numbers": {"assets": "inf"},
    "not a number": {"observed_at": "nan"},
    "a time after all calendars": {"stored_at": "1e300"},
    "no time between two ticks": {"interval_s": "0"},
    "a time of ages between two ticks": {"interval_s": "1e12"},
    "a span no timedelta holds": {"duration_s": "1e300"},
    "a date that is none": {"time": "2026-08-99T12:00:00Z"},
    "a date without a zone": {"time": "2026-08-01T12:00:00"},
    "a date at the end of the calendar": {"time": "9999-12-31T23:59:59Z"},
    "a field past a CSV reader's limit": {"ids": "x" * 200_000},
}


@pytest.mark.stack
@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_in_a_marker_is_malformed_and_a_503(what):
    async with double(answer(200, marker_csv(**NONSENSE[what]))) as (store, _), calling(store, FakeClock()) as client:
        with pytest.raises(StoreMalformed, match="InfluxDB at http"):
            await store.markers(NOON, NOON)
        for path in ("/v1/top", "/v1/movers", "/v1/status"):
            assert (await client.get(path)).status_code == 503, path


@pytest.mark.stack
async def test_the_marker_that_the_nonsense_is_made_from_is_sound():
    async with double(answer(200, marker_csv())) as (store, _):
        assert [marker.tick for marker in await store.markers(NOON, NOON, series="price")] == [NOON]


@pytest.fixture(scope="module")
def blanks() -> bytes:
    """So many in gzip that they are larger than an answer may be."""
    return gzip.compress(b" " * (MOST_BYTES + 10 * 2**20))


@pytest.mark.stack
@pytest.mark.parametrize("read", READS)
async def test_an_answer_past_the_bound_is_not_read_to_its_end_however_small_it_was_sent(read, blanks):
    def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(blanks)}\r\n\r\n"
        writer.write(head.encode() + blanks)

    async with double(speak) as (store, _):
        with pytest.raises(StoreUnavailable, match="larger than 64 MiB"):
            await READS[read](store)


@pytest.mark.stack
@pytest.mark.parametrize("body", ["", " ", "\r\n\r\n", "<html>welcome</html>", "{}", HEADER + ROW])
async def test_a_server_that_answers_anything_with_200_is_not_ready(body):
    async with double(answer(200, body)) as (store, _), calling(store, FakeClock()) as client:
        with pytest.raises(StoreMalformed, match="no answer of InfluxDB"):
            await store.ready()
        assert (await client.get("/readyz")).status_code == 503


@pytest.mark.stack
async def test_a_server_that_answers_what_was_asked_is_ready():
    async with double(answer(200, "\r\n,result,table,answered\r\n,answered,0,yes\r\n")) as (store, _):
        await store.ready()


@pytest.mark.influx
async def test_the_real_server_is_ready_with_and_without_a_snapshot(influx_bucket):
    store = influx_bucket.store(FakeClock())
    await store.ready()
    await store.write(many(PRICE, 3))
    await store.ready()
    await store.close()


@pytest.mark.stack
@pytest.mark.parametrize("body", ["", "\r\n", "\r\n\r\n"])
async def test_an_empty_body_is_an_empty_frame(body):
    async with double(answer(200, body)) as (store, _):
        assert (await store.rows(VOLUME_RANK, NOON)).equals(VOLUME_RANK.empty())
        assert await store.markers(NOON, NOON) == []
        assert await store.nearest("price", NOON) is None


@pytest.mark.parametrize("tables", ["\r\n{}", "\r\n\r\n{}", "{}\r\n", "{}\r\n\r\n\r\n"])
def test_an_empty_table_is_an_empty_line_before_or_after_the_others(tables):
    csv = tables.format(",result,table,_time,_value,_field\r\n,rows,0,2026-11-17T12:00:00Z,1.5,usd\r\n")
    assert csv_answer.times(csv) == [datetime(2026, 11, 17, 12, tzinfo=UTC)]
    assert csv_answer.numbers(csv) == [1.5]
    assert read_markers(csv) == []


@pytest.mark.stack
@pytest.mark.parametrize(
    "body",
    [
        "<html>welcome to the guest network</html>",
        "result,table\r\n_result,0\r\n",
        HEADER + ROW.replace("1.5", "much"),
        HEADER + ROW.replace(",1,", ",one,"),
        HEADER + ROW.replace(",0\r", ",first\r"),
        HEADER + ROW + ROW.replace("\r\n", ",more,and,more\r\n"),
    ],
)
async def test_an_answer_that_is_not_ours_is_malformed(body):
    async with double(answer(200, body)) as (store, _):
        with pytest.raises(StoreMalformed):
            await store.rows(PRICE, NOON)


@pytest.mark.stack
@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (422, "partial write: field type conflict dropped=1", StoreMalformed, "only a part was stored.*dropped=1"),
        (400, "unable to parse 'price,': missing tag", StoreMalformed, "unable to parse"),
        (413, "request too large", StoreMalformed, "too large"),
        (404, 'bucket "market" not found', StoreRejected, 'bucket "market"'),
        (401, "unauthorized access", StoreRejected, "TOPCOINS_INFLUX_TOKEN"),
        (403, "insufficient permissions", StoreRejected, "TOPCOINS_INFLUX_TOKEN"),
        (429, "too many requests", StoreUnavailable, "too many"),
        (500, "timeout", StoreUnavailable, "timeout"),
        (503, "cache maximum memory size exceeded", StoreUnavailable, "memory"),
    ],
)
async def test_a_write_that_fails_leaves_no_marker(status, message, error, words):
    async with double(*FREE, refusal(status, message)) as (store, server):
        with pytest.raises(error, match=words):
            await store.write(many(PRICE, 3))
    assert len(server.asked) == len(FREE) + 1
    assert b"snapshot,series" not in server.asked[-1]


@pytest.mark.stack
@pytest.mark.parametrize("speak", [cut_before_a_word, silent])
async def test_a_write_that_is_not_confirmed_is_not_done(speak):
    async with double(*FREE, speak, patience=timedelta(milliseconds=200)) as (store, server):
        with pytest.raises(StoreUnavailable):
            await store.write(many(PRICE, 3))
    assert not any(b"snapshot,series" in asked for asked in server.asked[1:])


@pytest.mark.stack
async def test_a_restarted_server_is_used_again_without_a_restart_of_ours():
    async with double(refusal(503, "starting"), answer(200, HEADER + ROW)) as (store, _):
        with pytest.raises(StoreUnavailable):
            await store.rows(PRICE, NOON)
        assert len(await store.rows(PRICE, NOON)) == 1


@pytest.mark.stack
async def test_reads_go_to_the_replica_and_writes_do_not():
    replica, primary = Double(answer(200, HEADER + ROW)), Double(*FREE, answer(204))
    async with serving(replica) as read_url, serving(primary) as url:
        store = InfluxStore(
            url, org="o", bucket="market", token=SecretStr(CANARY), clock=FakeClock(), read_url=read_url
        )
        await store.rows(PRICE, NOON)
        await store.write(many(PRICE, 3))
        await store.close()
    assert [asked.split(b"?")[0] for asked in replica.asked] == [b"POST /api/v2/query"]
    assert [asked.split(b"?")[0] for asked in primary.asked][len(FREE) :] == [b"POST /api/v2/write"] * 2


async def test_without_a_token_the_setting_is_named_before_anything_is_asked():
    store = a_store("http://127.0.0.1:1", token=None)
    with pytest.raises(StoreRejected, match="TOPCOINS_INFLUX_TOKEN"):
        await store.ready()
    await store.close()


@pytest.mark.influx
async def test_the_real_server_refuses_a_wrong_token(influx_bucket):
    store = influx_bucket.store(FakeClock(), token=SecretStr(CANARY))
    for ask in (store.ready(), store.write(many(PRICE, 3)), store.rows(PRICE, NOON)):
        with pytest.raises(StoreRejected, match=r"unauthorized.*TOPCOINS_INFLUX_TOKEN") as failure:
            await ask
        assert CANARY not in str(failure.value)
    await store.close()


@pytest.mark.influx
@pytest.mark.parametrize("missing", ["bucket", "org"])
async def test_the_real_server_misses_what_is_missing(influx_bucket, missing):
    store = influx_bucket.store(FakeClock(), **{missing: "nowhere"})
    for ask in (store.ready(), store.write(many(PRICE, 3)), store.markers(NOON, NOON)):
        with pytest.raises(StoreRejected, match=r"nowhere.*topcoins init"):
            await ask
    await store.close()


@pytest.mark.influx
async def test_the_real_server_takes_a_part_and_the_snapshot_stays_unseen(influx_bucket):
    server = influx_bucket.connect()
    await server.write(influx_bucket.name, b'price,cmc_id=14,tier=2 updated_at="text" 1')
    store = influx_bucket.store(FakeClock())
    # Of a shard's first type conflict only the conflicting points are dropped, the others stay: no marker, no trust.
    await server.write(influx_bucket.name, f'price,cmc_id=1 updated_at="text" {int(NOON.timestamp())}'.encode())
    with pytest.raises(StoreMalformed, match=r"only a part was stored.*dropped="):
        await store.write(many(PRICE, 3))
    assert await store.markers(NOON, NOON) == []
    await store.close()
    await server.close()


@pytest.mark.influx
async def test_the_real_server_drops_what_is_older_than_its_retention(influxd, influx_bucket):
    influxd.drop_bucket(influx_bucket.name)
    influxd.make_bucket(influx_bucket.name, timedelta(days=1))
    store = influx_bucket.store(utc_now)
    with pytest.raises(StoreMalformed, match=r"only a part was stored.*retention"):
        await store.write(snapshot(PRICE, utc_now() - timedelta(days=9), [{}]))
    await store.close()


@pytest.mark.influx
async def test_the_real_server_breaks_off_after_its_200_and_no_part_is_taken_for_the_whole(influx_bucket):
    server = influx_bucket.connect()
    lines = "\n".join(f"m,a={number} v={number} 1" for number in range(3000))
    await server.write(influx_bucket.name, lines.encode())
    # Each result reads for itself: with one source for both, Flux may wait for ever once one has failed.
    data = f'from(bucket: "{influx_bucket.name}") |> range(start: 0, stop: 2)'
    broken = 'map(fn: (r) => ({r with _value: if r.a == "2999" then die(msg: "boom") else 1.0}))'
    with pytest.raises(StoreUnavailable, match="boom"):
        await server.query(f'{data} |> yield(name: "a") {data} |> group() |> {broken} |> yield(name: "b")', str)
    await server.close()


@pytest.mark.influx
async def test_rows_without_a_marker_are_seen_by_no_one_and_leave_no_trace_in_the_next_writing(influx_bucket):
    store = influx_bucket.store(FakeClock())
    server = influx_bucket.connect()
    at = int(NOON.timestamp())
    await server.write(
        influx_bucket.name, f"price,cmc_id=1,tier=0,symbol=A usd=1 {at}\nprice,cmc_id=2 usd=1 {at}".encode()
    )
    assert await store.markers(NOON, NOON) == []
    assert await store.nearest("price", NOON) is None
    assert await store.first("price") is None
    written = snapshot(PRICE, NOON, [{"symbol": "B", "usd": 2.0, "tier": 1}])
    await store.write(written)
    assert (await store.rows(PRICE, NOON)).equals(written.rows)
    await store.close()
    await server.close()


@pytest.mark.influx
async def test_a_marker_that_lacks_a_field_is_passed_over(influx_bucket):
    store = influx_bucket.store(FakeClock())
    server = influx_bucket.connect()
    written = many(PRICE, 3)
    await store.write(written)
    at = int(NOON.timestamp())
    for tick in (at - 60, at + 60):
        await server.write(influx_bucket.name, f"snapshot,series=price,source=x assets=3,observed_at=1 {tick}".encode())
    assert await store.markers(NOON - timedelta(hours=1), NOON + timedelta(hours=1)) == [written.marker]
    assert await store.nearest("price", NOON + timedelta(hours=1)) == written.marker
    assert await store.first("price") == written.marker
    await store.close()
    await server.close()


@pytest.mark.influx
@pytest.mark.parametrize("lost", ["price", "volume_rank"])
async def test_a_row_lost_in_the_server_is_an_answer_refused_and_not_a_list_one_short(influx_bucket, lost):
    clock = FakeClock()
    store = influx_bucket.store(clock)
    for series in (PRICE, VOLUME_RANK):
        await store.write(sample_snapshot(series, NOON, 30))
    async with calling(store, clock) as client:
        whole = await client.get("/?datetime=2026-08-01T12:00:00Z")
        server = influx_bucket.connect()
        await server.delete(influx_bucket.name, NOON, f'_measurement="{lost}" AND cmc_id="7"')
        await server.close()
        clock.move(seconds=1)
        short = await client.get("/?datetime=2026-08-01T12:00:01Z")
    assert (whole.status_code, whole.json()["count"]) == (200, 30)
    assert (short.status_code, "data" in short.json()) == (503, False)


@pytest.mark.stack
@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_claim_that_is_not_taken_is_no_fault_of_the_snapshot_which_waits(status):
    async with double(refusal(status, "unable to parse 'claim,'")) as (store, server):
        with pytest.raises(StoreUnavailable, match="claim"):
            await store.write(many(PRICE, 3))
    assert len(server.asked) == 1


@pytest.mark.influx
async def test_a_tick_that_another_writer_claims_is_left_for_later(influx_bucket):
    """Whichever of two names is smaller, one writer writes; the claim of a dead writer expires."""
    store, tick = influx_bucket.store(FakeClock()), many(PRICE, 3)
    server = influx_bucket.connect()
    await server.write(influx_bucket.name, lines.claim("price", "0", NOON, NOON))
    with pytest.raises(StoreUnavailable, match="another writer may be writing the price snapshot"):
        await store.write(tick)
    assert await store.markers(NOON, NOON) == []
    assert (await store.rows(PRICE, NOON)).is_empty()
    await server.write(influx_bucket.name, lines.claim("price", "0", None, NOON))
    await store.write(tick)
    assert len(await store.markers(NOON, NOON)) == 1
    for each in (store, server):
        await each.close()


async def test_a_claim_lets_its_writer_write_only_for_as_long_as_others_respect_it():
    """Before it is made, and once it is old, another writer may be at work."""

    class Free:
        """A server that knows of no other claim and has nothing stored."""

        async def write(self, bucket: str, lines: bytes) -> None:
            pass

        async def query(self, flux: str, parse: Any) -> Any:
            return parse("")

    claim = Claim(cast(Server, Free()), "writer", "market", many(PRICE, 3), FakeClock())
    with pytest.raises(StoreUnavailable, match="another writer may be writing"):
        claim.check()
    assert await claim.clear()
    claim.check()
    claim._until -= USED.total_seconds() + 1
    with pytest.raises(StoreUnavailable, match="another writer may be writing"):
        claim.check()


@pytest.mark.parametrize(("writer", "waits"), [("a", True), ("z", False)])
async def test_of_two_writers_that_claim_a_tick_the_first_by_name_waits_and_the_other_gives_up(writer, waits):
    other = f",result,table,series,writer,_field,_value\r\n,_result,0,price,m,tick,{NOON.timestamp()}\r\n"

    class Contested:
        """A server that shows the other's claim once."""

        claims: tuple[str, ...] = (other, "")
        written: tuple[bytes, ...] = ()

        async def write(self, bucket: str, lines: bytes) -> None:
            self.written += (lines,)

        async def query(self, flux: str, parse: Any) -> Any:
            if "claim" not in flux:
                return parse("")
            first, self.claims = self.claims[0], self.claims[1:]
            return parse(first)

    server = Contested()
    claim = Claim(cast(Server, server), writer, "market", many(PRICE, 3), FakeClock())
    if waits:
        assert await claim.clear()
    else:
        with pytest.raises(StoreUnavailable, match="another writer may be writing"):
            await claim.clear()
    assert [b" tick=0.0" in line for line in server.written] == ([False] if waits else [False, True])
