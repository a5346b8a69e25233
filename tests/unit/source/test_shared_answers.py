"""Two ingestors that ask the same question: one asks, both have the answer, and neither needs the other."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock
from pydantic import SecretStr
from structlog.testing import capture_logs

import ingest_price
import ingest_rank
from lib.errors import SourceExhausted, SourceMalformed, SourceUnavailable
from lib.source import Reading, Source, read_source
from lib.source.shared_answers import POLL, SharedAnswers
from lib.source.source_file import VENDORS
from tests.fakes import NOON, FakeClock, Upstream, fails, says

PRICES, RANKS, COINDESK = (
    read_source(Path(package.__path__[0]) / f"{name}.toml")
    for package, name in ((ingest_price, "coinmarketcap"), (ingest_rank, "coinmarketcap"), (ingest_rank, "coindesk"))
)
MAP = read_source(VENDORS / "coinmarketcap_map.toml")
MINUTE = timedelta(minutes=1)
DATE = "Sat, 01 Aug 2026 12:00:00 GMT"


def listing(count: int, **status: Any) -> dict[str, Any]:
    records = [
        {"id": id_, "symbol": "S", "name": "N", "quote": {"USD": {"price": 1.5, "volume_24h": 2.0}}}
        for id_ in range(1, count + 1)
    ]
    return {"data": records, "status": {"error_code": 0, "credit_count": 4, **status}}


class Pair:
    """Two ingestors' sources over one upstream and one folder, and what they slept."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self.folder = folder
        self.upstream = upstream
        self.clock = FakeClock()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.move(seconds=seconds)
        await asyncio.sleep(0)

    def source(self, file: Any = PRICES, *, key: str | None = "a key", sleep: Any = None) -> Source:
        """A source of a process of its own."""
        shared = SharedAnswers(self.folder, clock=self.clock, sleep=sleep or self.sleep)
        secret = SecretStr(key) if key else None
        return Source(file, client=self.upstream.client, clock=self.clock, key=secret, shared=shared)

    async def read(
        self, file: Any = PRICES, *, tick: Any = NOON, assets: int = 10, key: str | None = "a key"
    ) -> Reading:
        return await self.source(file, key=key).read(assets, MINUTE, tick=tick)

    async def both(self, **options: Any) -> list[Reading]:
        return [await self.read(file, **options) for file in (PRICES, RANKS)]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path / "shared", Upstream(says(listing(10), date=DATE, age="7")))


async def test_both_series_of_a_tick_come_from_one_request(pair):
    prices, ranks = await pair.both()
    assert len(pair.upstream.asked) == 1
    assert prices.rows["usd"].to_list() == [1.5] * 10
    assert ranks.rows["cmc_id"].to_list() == list(range(1, 11))
    for tick in (NOON + MINUTE, NOON + 2 * MINUTE):
        await pair.both(tick=tick)
    assert len(pair.upstream.asked) == 3


async def test_of_two_that_ask_at_once_one_waits_for_the_other(pair):
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        pair.upstream.asked.append(request)
        begun.set()
        await go_on.wait()
        return httpx.Response(200, json=listing(10))

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))

    async def sleep(seconds: float) -> None:
        go_on.set()
        await asyncio.sleep(0)

    shared = [SharedAnswers(pair.folder, clock=pair.clock, sleep=sleep) for _ in range(2)]
    sources = [
        Source(file, client=client, clock=pair.clock, key=SecretStr("k"), shared=each)
        for file, each in zip((PRICES, RANKS), shared, strict=True)
    ]
    first = asyncio.create_task(sources[0].read(10, MINUTE, tick=NOON))
    await begun.wait()
    readings = await asyncio.gather(first, sources[1].read(10, MINUTE, tick=NOON))
    assert len(pair.upstream.asked) == 1
    assert [len(reading.rows) for reading in readings] == [10, 10]


async def test_credits_are_counted_once_and_all_else_is_as_if_it_had_asked(pair):
    prices = await pair.read()
    pair.clock.move(seconds=2)
    ranks = await pair.read(RANKS)
    assert (prices.credits, ranks.credits) == (4, 0)
    for name in ("observed_at", "duration", "upstream_time", "records", "asked"):
        assert getattr(ranks, name) == getattr(prices, name)
    assert ranks.upstream_time is not None
    assert ranks.upstream_time.latest - ranks.upstream_time.earliest == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"assets": 5}),
        ({}, {"key": "another key"}),
        ({}, {"key": None}),
        ({"tick": NOON - MINUTE}, {}),
        ({"tick": NOON - timedelta(days=1)}, {}),
        ({"tick": None}, {}),
        ({}, {"tick": None}),
        ({}, {"file": RANKS.model_copy(update={"request": RANKS.request.model_copy(update={"headers": {"a": "b"}})})}),
        ({}, {"file": RANKS.model_copy(update={"request": RANKS.request.model_copy(update={"params": {"a": "b"}})})}),
    ],
    ids=str,
)
async def test_another_question_is_asked_by_itself(pair, first, second):
    await pair.read(**first)
    await pair.read(**{"file": RANKS, **second})
    assert len(pair.upstream.asked) == 2


async def test_a_source_that_does_not_share_leaves_no_answer(pair):
    pair.upstream.answers[:] = [says({"Data": {"LIST": []}, "Err": {}})]
    for _ in range(2):
        await pair.read(COINDESK)
    assert len(pair.upstream.asked) == 2
    assert not pair.folder.exists()


@pytest.mark.parametrize(
    ("seconds", "within", "requests"), [(4, MINUTE, 1), (6, MINUTE, 2), (2, timedelta(seconds=2), 2)]
)
async def test_first_ticks_a_few_seconds_apart_share_an_answer_unless_ticks_are_that_close(
    pair, seconds, within, requests
):
    await pair.source().read(10, within, tick=NOON)
    await pair.source(RANKS).read(10, within, tick=NOON + timedelta(seconds=seconds))
    assert len(pair.upstream.asked) == requests


async def test_each_page_of_a_capped_list_is_asked_for_once(pair):
    def page(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["start"])
        body = listing(30, total_count=30)
        body["data"] = body["data"][start - 1 : start + 9]
        return httpx.Response(200, json=body)

    pair.upstream.answers[:] = [page]
    prices, ranks = await pair.both(assets=30)
    assert pair.upstream.queries("start") == [(1,), (11,), (21,)]
    assert (len(prices.rows), len(ranks.rows), prices.credits, ranks.credits) == (30, 30, 12, 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says({"status": {"error_code": 1008}}, 429, retry_after="30"), SourceUnavailable),
        (says({"status": {"error_code": 1009}}, 429), SourceExhausted),
        (says(b"<html>", 403), SourceUnavailable),
        (says({"data": 7}), SourceMalformed),
    ],
    ids=["429", "spent", "a CDN's page", "malformed"],
)
async def test_a_failed_answer_is_shared_too_with_its_wait(pair, answer, error):
    pair.upstream.answers[:] = [answer]
    messages = []
    for file in (PRICES, RANKS):
        with pytest.raises(error) as failed:
            await pair.read(file)
        messages.append(str(failed.value))
    assert len(pair.upstream.asked) == 1
    assert messages[0] == messages[1]


async def test_who_failed_without_an_answer_leaves_the_other_to_ask(pair):
    pair.upstream.answers[:] = [*[fails(httpx.ConnectError("away"))] * 3, says(listing(10))]
    with pytest.raises(SourceUnavailable):
        await pair.source().read(10, timedelta(seconds=1), tick=NOON)
    asked = len(pair.upstream.asked)
    pair.upstream.answers[:] = [says(listing(10))]
    assert len((await pair.read(RANKS)).rows) == 10
    assert len(pair.upstream.asked) == asked + 1


@pytest.mark.parametrize(("ago", "key", "wait"), [(0.0, None, 2.0), (1.5, None, 0.5), (3, None, 0), (0.0, "a key", 0)])
async def test_without_a_key_a_request_keeps_apart_from_the_one_of_another_that_died(pair, ago, key, wait):
    pair.upstream.answers[:] = [fails(asyncio.CancelledError())]
    with pytest.raises(asyncio.CancelledError):
        await pair.read(key=key)
    pair.upstream.answers[:] = [says(listing(10))]
    pair.clock.move(seconds=ago)
    await pair.read(RANKS, key=key)
    assert sum(pair.slept) == pytest.approx(wait, abs=0.01)
    assert len(pair.upstream.asked) == 2


@pytest.mark.parametrize(("key", "wait"), [(None, 2.0), ("a key", 0)])
async def test_without_a_key_the_map_of_ids_is_not_asked_for_within_a_second_of_a_list(pair, key, wait):
    await pair.read(key=key)
    await pair.source(MAP, key=key).read(10, MINUTE)
    assert "/map" in str(pair.upstream.asked[-1].url)
    assert sum(pair.slept) == pytest.approx(wait, abs=0.01)


async def test_of_three_that_ask_without_a_key_each_keeps_apart_from_the_one_before(pair):
    await pair.read(key=None)
    held = pair.clock.now

    async def sleep(seconds: float) -> None:
        pair.slept.append(seconds)  # and the clock stands still: all three ask at once

    for minute in (1, 2):
        await pair.source(key=None, sleep=sleep).read(10, MINUTE, tick=NOON + minute * MINUTE)
    assert pair.clock.now == held
    assert pair.slept == pytest.approx([2.0, 4.0], abs=0.01)


async def test_the_pages_of_one_ingestor_do_not_wait_for_each_other(pair):
    source = pair.source(key=None)
    for minute in range(3):
        await source.read(10, MINUTE, tick=NOON + minute * MINUTE)
    assert not pair.slept


async def test_a_lock_that_is_never_released_costs_half_of_the_time_and_no_answer(pair):
    source = pair.source(RANKS)
    question = await _address_of(pair)
    with FileLock(question.with_suffix(".lock")):
        assert len((await source.read(10, MINUTE, tick=NOON + MINUTE)).rows) == 10
    assert sum(pair.slept) == pytest.approx(30, abs=2 * POLL.total_seconds())


async def test_the_lock_of_an_ingestor_that_was_killed_is_free_at_once(pair):
    lock = (await _address_of(pair)).with_suffix(".lock")
    program = f"import filelock, time; filelock.FileLock({str(lock)!r}).acquire(); print(flush=True); time.sleep(60)"
    # The promise is the system's: it needs a process that dies.
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert other.stdout
    await other.stdout.readline()
    other.kill()
    await other.wait()
    assert len((await pair.read(RANKS, tick=NOON + MINUTE)).rows) == 10
    assert not pair.slept


async def _address_of(pair: Pair) -> Path:
    await pair.read()
    return next(pair.folder.glob("*.lock"))


@pytest.mark.parametrize("damage", [b"", b"{", b"{}\n", b"[]\n[]", b'{"tick": 1e300}\n', "cut", "changed"], ids=str)
async def test_a_damaged_answer_is_asked_for_again(pair, damage):
    await pair.read()
    file = next(pair.folder.glob("*.answer"))
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[:-20], "changed": whole.replace(b"1.5", b"9.5")}.get(damage, damage))
    assert (await pair.read()).rows["usd"].to_list() == [1.5] * 10
    assert len(pair.upstream.asked) == 2


async def test_a_folder_that_cannot_be_used_costs_nothing_and_is_logged_once(pair):
    pair.folder.write_bytes(b"a file")
    source = pair.source()
    with capture_logs() as logs:
        for minute in range(3):
            assert len((await source.read(10, MINUTE, tick=NOON + minute * MINUTE)).rows) == 10
    assert len(pair.upstream.asked) == 3
    assert [entry["event"] for entry in logs] == ["answers can't be shared: each ingestor asks"]


async def test_a_disk_that_refuses_the_answer_costs_nothing_and_is_logged_at_its_start_and_end(pair):
    await pair.read()
    part = next(pair.folder.glob("*.answer")).with_suffix(".part")
    part.mkdir()
    source = pair.source()
    with capture_logs() as logs:
        for minute in (1, 2):
            assert len((await source.read(10, MINUTE, tick=NOON + minute * MINUTE)).rows) == 10
        part.rmdir()
        await source.read(10, MINUTE, tick=NOON + 3 * MINUTE)
    assert [entry["event"] for entry in logs] == [
        "answers can't be shared: each ingestor asks",
        "answers are shared again",
    ]


async def test_answers_that_nobody_asks_for_any_more_are_removed(pair):
    await pair.read(key="an old key")
    old = next(pair.folder.glob("*.answer"))
    os.utime(old, (0, 0))
    await pair.read()
    assert len(list(pair.folder.glob("*.answer"))) == 1
    assert not old.exists()


async def test_no_file_name_and_no_file_has_the_key(pair):
    await pair.read(key="canary-5f3a9c1e")
    for file in pair.folder.iterdir():
        assert "canary" not in file.name
        assert b"canary" not in file.read_bytes()
