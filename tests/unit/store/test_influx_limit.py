"""However many queries come at once, InfluxDB runs few of them, in their order, and none waits for ever."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import SecretStr

from lib.errors import Busy, StoreUnavailable
from lib.schema import PRICE
from lib.store.influx.limit import QueryLimit
from lib.store.influx.server import Server
from tests.contract.snapshots import many
from tests.fakes import NOON
from tests.unit.store.test_influx_failures import FREE, HEADER, ROW, Double, answer, double, serving

SOON = timedelta(milliseconds=10)
LONG = timedelta(hours=1)


class Queries:
    """Queries that end when they may; counts those that run at the same time."""

    def __init__(self, limit: QueryLimit) -> None:
        self.limit = limit
        self.may_end = asyncio.Event()
        self.began: list[int] = []
        self.running = self.most = 0

    async def run(self, number: int = 0) -> None:
        async with self.limit.place():
            self.began.append(number)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self.may_end.wait()
            finally:
                self.running -= 1

    def start(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.run(number)) for number in range(count)]


async def until_idle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def test_few_queries_run_at_once_in_their_order_and_all_are_run():
    queries = Queries(QueryLimit(at_once=3, waiting=100, patience=LONG))
    tasks = queries.start(50)
    await until_idle()
    assert queries.running == 3
    queries.may_end.set()
    await asyncio.gather(*tasks)
    assert queries.most == 3
    assert queries.began == list(range(50))


async def test_when_too_many_wait_the_next_is_busy_which_is_not_a_store_that_is_away():
    queries = Queries(QueryLimit(at_once=1, waiting=2, patience=LONG))
    tasks = queries.start(3)
    await until_idle()
    with pytest.raises(Busy, match="2 queries wait for the store already") as busy:
        await queries.run()
    assert busy.value.retry_after
    assert not isinstance(busy.value, StoreUnavailable)
    queries.may_end.set()
    await asyncio.gather(*tasks)


async def test_a_query_that_waits_too_long_is_busy():
    queries = Queries(QueryLimit(at_once=1, waiting=2, patience=SOON))
    (running,) = queries.start(1)
    await until_idle()
    with pytest.raises(Busy, match="no time for a query within"):
        await queries.run()
    queries.may_end.set()
    await running


async def test_a_query_that_is_cancelled_frees_its_place():
    queries = Queries(QueryLimit(at_once=1, waiting=1, patience=LONG))
    (running,) = queries.start(1)
    for _ in range(3):
        await until_idle()
        (waiting,) = queries.start(1)
        await until_idle()
        waiting.cancel()
    await until_idle()
    running.cancel()
    await until_idle()
    queries.may_end.set()
    await queries.run()
    assert queries.running == 0


@pytest.mark.stack
async def test_a_store_sends_eight_queries_at_a_time_and_answers_all():
    gate, eight = asyncio.Event(), asyncio.Event()
    reply = answer(200, HEADER + ROW)

    def when_let(request: bytes, writer: asyncio.StreamWriter) -> None:
        waiting.append(asyncio.create_task(speak(request, writer)))
        if len(waiting) == 8:
            eight.set()

    async def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        reply(request, writer)

    waiting: list[asyncio.Task[None]] = []
    async with double(when_let) as (store, server):
        reads = [asyncio.create_task(store.rows(PRICE, NOON)) for _ in range(20)]
        await eight.wait()
        await until_idle()
        assert len(server.asked) == 8
        gate.set()
        assert [len(rows) for rows in await asyncio.gather(*reads)] == [1] * 20


class Refusing(ThreadPoolExecutor):
    def submit(self, *args, **options):
        raise AssertionError("asyncio's own threads were used")


@pytest.mark.stack
async def test_a_store_reads_and_writes_without_asyncios_own_threads():
    asyncio.get_running_loop().set_default_executor(Refusing(1))
    async with double(*FREE, answer(204), answer(204), answer(200, HEADER + ROW)) as (store, _):
        await store.write(many(PRICE, 3))
        assert len(await store.rows(PRICE, NOON)) == 1
        assert await store.markers(NOON, NOON) == []


@pytest.mark.stack
async def test_an_answer_is_parsed_off_the_event_loop():
    """SV-11: the ticks of ninety days took a third of a second in which nobody else was answered."""
    parsed_in: list[threading.Thread] = []
    async with serving(Double(answer(200, HEADER + ROW))) as url:
        server = Server(url, org="topcoins", token=SecretStr("secret"))
        await server.query('from(bucket: "market")', lambda csv: parsed_in.append(threading.current_thread()))
        await server.close()
    (thread,) = parsed_in
    assert thread is not threading.current_thread()
