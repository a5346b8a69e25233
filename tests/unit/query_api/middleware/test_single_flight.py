"""Equal questions share one piece of work, and no caller can spoil it for another."""

import asyncio

import pytest

from query_api.middleware.single_flight import Flights


class Work:
    """Counts its runs; each goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun = self.ended = self.cut = 0
        self.go_on = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        self.ended += 1
        return self.begun


async def until_idle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_equal_questions_are_worked_on_once_and_others_on_their_own():
    flights, work = Flights(), Work()
    asked = [asyncio.create_task(flights.join(question, work)) for question in "aaab"]
    await until_idle()
    assert work.begun == 2
    work.go_on.set()
    assert await asyncio.gather(*asked) == [2, 2, 2, 2]
    assert await flights.join("a", work) == 3


async def test_a_caller_that_leaves_takes_nothing_from_the_others():
    flights, work = Flights(), Work()
    first, second = (asyncio.create_task(flights.join("a", work)) for _ in range(2))
    await until_idle()
    first.cancel()
    await until_idle()
    assert (work.begun, work.cut) == (1, 0)
    work.go_on.set()
    assert await second == 1


async def test_the_work_ends_with_the_last_caller_and_the_next_one_begins_anew():
    flights, work = Flights(), Work()
    asked = [asyncio.create_task(flights.join("a", work)) for _ in range(2)]
    await until_idle()
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)
    later = asyncio.create_task(flights.join("a", work))
    await until_idle()
    assert (work.begun, work.cut) == (2, 1)
    work.go_on.set()
    assert await later == 2


async def test_an_error_reaches_all_who_wait_and_is_forgotten():
    flights = Flights()
    runs = 0

    async def fails() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    for turn in (1, 2):
        answers = await asyncio.gather(*(flights.join("a", fails) for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["no"] * 3
        assert runs == turn
    with pytest.raises(ValueError, match="no"):
        await flights.join("b", fails)
