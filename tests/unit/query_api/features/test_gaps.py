"""`/v1/gaps`: equal requests share their work, and a client's many requests do not keep the others waiting."""

import asyncio

from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, calling, stocked


async def test_equal_requests_read_once() -> None:
    """SV-9: each page that is open asks this, at its load and each minute."""
    clock = FakeClock(NOW)
    store = stocked(clock)
    async with calling(store, clock) as client:
        await client.get("/v1/gaps?from=now-6d")
        alone, store.asked = store.asked, 0
        answers = await asyncio.gather(*(client.get("/v1/gaps?from=now-7d") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert store.asked == alone


async def test_a_copy_that_is_still_right_is_not_sent_again() -> None:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as client:
        answer = await client.get("/v1/gaps")
        assert answer.headers["cache-control"] == "public, max-age=30"
        again = await client.get("/v1/gaps", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_gaps_of_a_second_are_read_once() -> None:
    clock = FakeClock(NOW)
    store = stocked(clock)
    async with calling(store, clock) as client:
        asked = []
        for seconds in (0, 0, 1):
            clock.move(seconds=seconds)
            before = store.asked
            await client.get("/v1/gaps?from=now-40m")
            asked.append(store.asked > before)
    assert asked == [True, False, True]
