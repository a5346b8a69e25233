"""The thread of the embedded store."""

import asyncio
import threading
from functools import partial

import pytest

from lib.store.sqlite.worker import Worker


@pytest.fixture
def worker():
    worker = Worker("test")
    yield worker
    worker.end()


def fail() -> None:
    raise ValueError("no")


async def test_what_is_asked_for_in_one_turn_comes_back_together(worker):
    """Each change of threads costs as much as a small query."""
    answered = threading.Event()

    async def first() -> None:
        await worker.run(lambda: None)
        answered.set()

    _, was_answered = await asyncio.gather(first(), worker.run(lambda: answered.wait(0.05)))
    assert not was_answered
    assert answered.is_set()


async def test_work_runs_in_one_thread_in_the_order_asked_for(worker):
    ran: list[int] = []

    def work(number: int) -> int:
        ran.append(number)
        return threading.get_ident()

    threads = await asyncio.gather(*(worker.run(partial(work, number)) for number in range(5)))
    assert ran == [0, 1, 2, 3, 4]
    assert len({*threads} - {threading.get_ident()}) == 1


async def test_an_error_reaches_who_asked_and_nobody_else(worker):
    results = await asyncio.gather(worker.run(fail), worker.run(lambda: 1), return_exceptions=True)
    assert isinstance(results[0], ValueError)
    assert results[1] == 1


async def test_work_that_is_cancelled_before_its_turn_does_not_run(worker):
    ran: list[int] = []
    task = asyncio.create_task(worker.run(lambda: ran.append(1)))
    await asyncio.sleep(0)  # it waits for its turn now
    task.cancel()
    assert await worker.run(lambda: 2) == 2
    assert task.cancelled()
    assert not ran


async def test_a_result_that_nobody_waits_for_any_more_disturbs_no_other(worker):
    began, goes_on = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        goes_on.wait(5)

    task = asyncio.create_task(worker.run(work))
    other = asyncio.create_task(worker.run(lambda: 2))
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    goes_on.set()
    assert await other == 2


def test_a_second_event_loop_can_use_it(worker):
    """A loop that ended before its turn came must not keep the next one waiting."""

    async def ask_and_leave() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)
        await worker.run(lambda: 1)

    loop = asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="stopped before"):
        loop.run_until_complete(ask_and_leave())
    loop.close()
    assert asyncio.run(worker.run(lambda: 2)) == 2
