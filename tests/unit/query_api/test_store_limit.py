"""However many ask at once, the store is asked by few, and nobody waits for ever."""

import asyncio
from datetime import timedelta

import pytest

from lib.errors import Busy
from lib.schema import PRICE
from query_api.store_limit import Turns
from tests.fakes import FakeClock
from tests.unit.query_api.market import NEWEST, NOW, CountingStore, calling, stocked

SOON = timedelta(milliseconds=10)
LONG = timedelta(hours=1)


class SlowStore(CountingStore):
    """Answers only when it is let; knows how many ask at the same time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.snapshots = stocked(clock).snapshots
        self.let = asyncio.Event()
        self.inside = self.most = 0

    async def ready(self) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.let.wait()
            await super().ready()
        finally:
            self.inside -= 1


@pytest.fixture
def store() -> SlowStore:
    return SlowStore(FakeClock(NOW))


async def until_idle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def test_only_so_many_ask_the_store_at_once_and_all_are_answered(store):
    turns = Turns(store, at_once=3, waiting=100, patience=LONG)
    asked = [asyncio.create_task(turns.nearest(PRICE.name, NEWEST)) for _ in range(50)]
    await until_idle()
    assert store.inside == 3
    store.let.set()
    answers = await asyncio.gather(*asked)
    assert (store.most, store.asked) == (3, 50)
    assert all(answer and answer.tick == NEWEST for answer in answers)


async def test_when_too_many_wait_the_next_is_told_to_come_back(store):
    turns = Turns(store, at_once=1, waiting=2, patience=LONG)
    asked = [asyncio.create_task(turns.first(PRICE.name)) for _ in range(3)]
    await until_idle()
    with pytest.raises(Busy, match="2 wait for the store already") as told:
        await turns.first(PRICE.name)
    assert told.value.retry_after
    store.let.set()
    await asyncio.gather(*asked)


async def test_who_waits_too_long_is_told_so(store):
    turns = Turns(store, at_once=1, waiting=2, patience=SOON)
    first = asyncio.create_task(turns.ready())
    await until_idle()
    with pytest.raises(Busy, match="no time within"):
        await turns.ready()
    store.let.set()
    await first


async def test_who_leaves_gives_up_its_place_and_its_turn(store):
    turns = Turns(store, at_once=1, waiting=1, patience=LONG)
    holds = asyncio.create_task(turns.ready())
    for _ in range(3):
        await until_idle()
        waits = asyncio.create_task(turns.ready())
        await until_idle()
        waits.cancel()
    await until_idle()
    holds.cancel()
    store.let.set()
    await turns.ready()
    assert store.inside == 0


async def test_a_hundred_callers_of_one_cold_time_cost_one_answer_and_of_many_few_at_once(store):
    async with calling(store, FakeClock(NOW)) as client:
        same = [asyncio.create_task(client.get("/?datetime=2026-11-17T14:05:00Z")) for _ in range(100)]
        await until_idle()
        store.let.set()
        answers = await asyncio.gather(*same)
        one = store.asked
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert one <= 5
        others = [client.get(f"/?datetime=2026-11-17T14:05:{second:02}Z&limit={limit}")
                  for second in range(50) for limit in (1, 2)]  # fmt: skip
        assert {answer.status_code for answer in await asyncio.gather(*others)} == {200}
    assert store.most <= 8


async def test_more_than_may_wait_is_a_503_that_says_when_to_come_back(store):
    async with calling(store, FakeClock(NOW)) as client:
        asked = [asyncio.create_task(client.get(f"/?limit={1 + n}")) for n in range(300)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        store.let.set()
        answers = await asyncio.gather(*asked)
        refused = [answer for answer in answers if answer.status_code == 503]
        assert len(answers) - len(refused) == [answer.status_code for answer in answers].count(200) >= 200
        assert {answer.headers["retry-after"] for answer in refused} == {"5"}
        assert {answer.json()["title"] for answer in refused} == {"Busy"}
        assert (await client.get("/?limit=3")).status_code == 200
