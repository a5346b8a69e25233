"""Equal requests share one piece of work, and no caller can spoil it for another."""

import asyncio

import pytest

from query_api.middleware.single_flight import SingleFlight


class Work:
    """Counts its runs; each lasts until `go_on` is set."""

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


async def test_equal_keys_share_the_work_and_others_do_not():
    single_flight, work = SingleFlight(), Work()
    asked = [asyncio.create_task(single_flight.share(key, work)) for key in "aaab"]
    await until_idle()
    assert work.begun == 2
    work.go_on.set()
    assert await asyncio.gather(*asked) == [2, 2, 2, 2]
    assert await single_flight.share("a", work) == 3


async def test_a_caller_that_disconnects_does_not_cancel_the_others():
    single_flight, work = SingleFlight(), Work()
    first, second = (asyncio.create_task(single_flight.share("a", work)) for _ in range(2))
    await until_idle()
    first.cancel()
    await until_idle()
    assert (work.begun, work.cut) == (1, 0)
    work.go_on.set()
    assert await second == 1


async def test_the_work_ends_with_the_last_caller_and_the_next_one_begins_anew():
    single_flight, work = SingleFlight(), Work()
    asked = [asyncio.create_task(single_flight.share("a", work)) for _ in range(2)]
    await until_idle()
    for one in asked:
        one.cancel()
    await asyncio.wait(asked)
    later = asyncio.create_task(single_flight.share("a", work))
    await until_idle()
    assert (work.begun, work.cut) == (2, 1)
    work.go_on.set()
    assert await later == 2


async def test_an_error_is_raised_for_all_waiting_callers_and_not_cached():
    single_flight = SingleFlight()
    runs = 0

    async def fails() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    for turn in (1, 2):
        answers = await asyncio.gather(*(single_flight.share("a", fails) for _ in range(3)), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["no"] * 3
        assert runs == turn
    with pytest.raises(ValueError, match="no"):
        await single_flight.share("b", fails)
