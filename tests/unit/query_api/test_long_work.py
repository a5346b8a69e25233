"""The lane for long work: bounded in all, per client and in its steps at a time; short requests are not in it."""

import asyncio
from contextlib import ExitStack

import pytest

from lib.errors import Busy
from query_api.long_work import LongWork
from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, calling, stocked


def test_a_client_has_only_so_many_long_requests_and_others_have_theirs():
    lane = LongWork(requests=4, per_client=2)
    with ExitStack() as running:
        for client in ("alice", "alice", "bob"):
            running.enter_context(lane.request(client))
        with pytest.raises(Busy, match="alice has 2 exports or other long requests"), lane.request("alice"):
            pass
        running.enter_context(lane.request("bob"))
        with pytest.raises(Busy, match="4 exports and other long requests are running") as busy, lane.request("carol"):
            pass
        assert busy.value.retry_after
    for client in ("alice", "bob", "carol"):
        with lane.request(client):
            pass


def test_a_long_request_that_fails_frees_its_place():
    lane = LongWork(requests=1, per_client=1)
    with pytest.raises(LookupError), lane.request("alice"):
        raise LookupError
    with lane.request("alice"):
        pass


async def test_steps_of_all_requests_run_first_come_first_served_and_one_at_a_time():
    lane = LongWork()
    began: list[int] = []
    running = most = 0

    async def step(number: int) -> None:
        nonlocal running, most
        async with lane.step():
            began.append(number)
            running += 1
            most = max(most, running)
            for _ in range(3):
                await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(step(number) for number in range(20)))
    assert began == list(range(20))
    assert most == 1


async def test_a_busy_store_is_a_503_with_retry_after_and_never_reported_as_down():
    clock = FakeClock(NOW)
    store = stocked(clock)
    store.failure = Busy("200 requests wait for the store already")
    async with calling(store, clock) as client:
        for path in ("/v1/top", "/readyz", "/v1/status"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
            assert answer.json()["title"] == "Busy"
        assert "topcoins_store_up 0" not in (await client.get("/metrics")).text
