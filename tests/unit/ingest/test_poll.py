"""Ticks on the clock. APScheduler reads the machine's clock itself, so that one is placed and moved."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from structlog.testing import capture_logs

from lib.ingest.poll import Poll

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-08-01T{text}+00:00")


@pytest.fixture
def machine():
    """The machine's clock, standing still at half past a minute."""
    with time_machine.travel(at("12:00:30.250"), tick=False) as clock:
        yield clock


class Work:
    """Records the slots it is called with; does not end while `held` is set."""

    def __init__(self, *, held: bool = False) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.free = asyncio.Event()
        if not held:
            self.free.set()

    async def __call__(self, slot: datetime) -> None:
        assert slot.tzinfo is UTC
        self.began.append(f"{slot:%H:%M:%S}")
        await self.free.wait()
        self.ended.append(f"{slot:%H:%M:%S}")


def polling(**works) -> Poll:
    poll = Poll(lambda: datetime.now(UTC))
    for name, work in works.items():
        poll.add(name, work, lambda: MINUTE)
    return poll


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(poll: Poll):
    """The poll at work, with a way to move it to another time."""
    stop = asyncio.Event()
    task = asyncio.create_task(poll.run(stop))
    await settle()
    try:
        yield stop
    finally:
        stop.set()
        await task


async def move(machine, poll: Poll, text: str) -> None:
    machine.move_to(at(text))
    poll.check_clock()
    await settle()


async def test_the_first_tick_is_at_once_stamped_with_its_second(machine):
    work = Work()
    async with running(polling(price=work)):
        assert work.began == ["12:00:30"]


async def test_ticks_after_the_first_are_on_utc_minutes(machine):
    work = Work()
    poll = polling(price=work)
    async with running(poll):
        for text in ("12:00:59.999", "12:01:00", "12:01:30", "12:02:00.004", "12:03:00"):
            await move(machine, poll, text)
    assert work.began == work.ended == ["12:00:30", "12:01:00", "12:02:00", "12:03:00"]
    assert poll.skipped == {"price": 0}


async def test_a_start_on_the_minute_is_one_tick_not_two(machine):
    machine.move_to(at("12:01:00"))
    work = Work()
    poll = polling(price=work)
    async with running(poll):
        await move(machine, poll, "12:01:59")
    assert work.began == ["12:01:00"]


async def test_each_work_has_its_own_interval_and_slots(machine):
    minutely, slow, fast = Work(), Work(), Work()
    poll = polling(price=minutely)
    poll.add("slow", slow, lambda: 5 * MINUTE)
    poll.add("fast", fast, lambda: MINUTE / 2)
    async with running(poll):
        for text in ("12:01:00", "12:01:30", "12:02:00", "12:02:30", "12:03:00", "12:03:30", "12:04:00", "12:04:30"):
            await move(machine, poll, text)
        await move(machine, poll, "12:05:00")
    assert minutely.began == ["12:00:30", "12:01:00", "12:02:00", "12:03:00", "12:04:00", "12:05:00"]
    assert slow.began == ["12:00:30", "12:05:00"]
    assert fast.began[:3] == ["12:00:30", "12:01:00", "12:01:30"]
    assert len(fast.began) == 10
    assert poll.skipped == {"price": 0, "slow": 0, "fast": 0}


async def test_a_late_start_is_not_lost_and_keeps_its_slot(machine):
    work = Work()
    poll = polling(price=work)
    async with running(poll):
        await move(machine, poll, "12:01:45")
    assert work.began == ["12:00:30", "12:01:00"]
    assert poll.skipped == {"price": 0}


async def test_a_tick_longer_than_its_interval_skips_the_next_one_once_and_counts_it(machine):
    work = Work(held=True)
    poll = polling(price=work)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            await move(machine, poll, "12:01:20")
            work.free.set()
            await settle()
            await move(machine, poll, "12:01:40")
            await move(machine, poll, "12:02:00")
    assert work.began == work.ended == ["12:00:30", "12:02:00"]
    assert poll.skipped == {"price": 1}
    assert [entry["event"] for entry in logs] == ["tick skipped: the one before still runs"]


async def test_ticks_never_stack_however_long_one_takes(machine):
    work = Work(held=True)
    poll = polling(price=work)
    async with running(poll):
        for minute in range(1, 8):
            await move(machine, poll, f"12:0{minute}:00")
        assert (work.began, work.ended) == (["12:00:30"], [])
        work.free.set()
        await settle()
        assert work.ended == ["12:00:30"]
        assert poll.skipped == {"price": 7}
        await move(machine, poll, "12:08:00")
    assert work.began == ["12:00:30", "12:08:00"]
    assert poll.skipped == {"price": 7}


async def test_a_long_tick_of_one_job_delays_no_other_job(machine):
    long, short = Work(held=True), Work()
    poll = polling(price=long, volume_rank=short)
    async with running(poll):
        await move(machine, poll, "12:01:00")
        long.free.set()
    assert short.began == ["12:00:30", "12:01:00"]
    assert poll.skipped == {"price": 1, "volume_rank": 0}


async def test_slots_that_passed_unnoticed_are_counted_and_the_newest_is_worked_on(machine):
    work = Work()
    poll = polling(price=work)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            await move(machine, poll, "12:05:10")
            await move(machine, poll, "12:06:00")
    assert work.began == ["12:00:30", "12:01:00", "12:05:00", "12:06:00"]
    assert poll.skipped == {"price": 3}
    assert [(entry["event"], entry["ticks"], entry["skipped_since_start"]) for entry in logs] == [
        ("ticks missed: nothing ran in their time", 3, 3)
    ]


async def test_slots_that_passed_unnoticed_during_a_tick_are_counted_too(machine):
    work = Work(held=True)
    poll = polling(price=work)
    async with running(poll):
        await move(machine, poll, "12:05:10")
        work.free.set()
        await settle()
        await move(machine, poll, "12:06:00")
    assert work.began == ["12:00:30", "12:06:00"]
    assert poll.skipped == {"price": 5}


async def test_a_start_long_after_it_was_planned_works_on_the_newest_slot(machine):
    work = Work()
    poll = polling(price=work)
    machine.move_to(at("12:03:10"))
    async with running(poll):
        assert work.began == ["12:03:00"]


async def test_stopping_lets_the_running_tick_finish(machine):
    work = Work(held=True)
    poll = polling(price=work)
    stop = asyncio.Event()
    task = asyncio.create_task(poll.run(stop))
    await settle()
    stop.set()
    await settle()
    assert not task.done()
    assert work.ended == []
    work.free.set()
    await task
    assert work.began == work.ended == ["12:00:30"]


async def test_no_tick_begins_once_stopped(machine):
    work = Work(held=True)
    poll = polling(price=work)
    async with running(poll) as stop:
        stop.set()
        await settle()
        await move(machine, poll, "12:01:00")
        work.free.set()
    assert work.began == ["12:00:30"]


async def test_a_crashing_tick_is_logged_with_its_slot_and_does_not_stop_polling(machine):
    work = Work()

    async def crash(slot: datetime) -> None:
        await work(slot)
        raise RuntimeError("gone")

    poll = polling(price=crash)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            await move(machine, poll, "12:02:00")
    assert work.began == ["12:00:30", "12:01:00", "12:02:00"]
    logged = [(entry["event"], entry["job"], f"{entry['tick']:%H:%M:%S}", entry["exc_info"]) for entry in logs]
    assert logged == [("tick crashed", "price", slot, True) for slot in work.began]


async def test_a_crash_names_the_slot_it_worked_on_not_one_skipped_since(machine):
    work = Work(held=True)

    async def crash(slot: datetime) -> None:
        await work(slot)
        raise RuntimeError("gone")

    poll = polling(price=crash)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            work.free.set()
    assert [f"{entry['tick']:%H:%M:%S}" for entry in logs if entry["event"] == "tick crashed"] == ["12:00:30"]


async def test_a_clock_set_back_is_not_waited_for(machine):
    work = Work()
    poll = polling(price=work)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            await move(machine, poll, "11:00:20")
            await move(machine, poll, "11:01:00")
            await move(machine, poll, "11:02:00")
    assert work.began == ["12:00:30", "12:01:00", "11:01:00", "11:02:00"]
    assert [entry["event"] for entry in logs] == ["the clock was set back"]
    assert poll.skipped == {"price": 0}


async def test_a_clock_set_back_a_little_repeats_no_slot(machine):
    work = Work()
    poll = polling(price=work)
    async with running(poll):
        await move(machine, poll, "12:01:00.200")
        await move(machine, poll, "12:00:59.900")
        await move(machine, poll, "12:01:00.100")
        await move(machine, poll, "12:02:00")
    assert work.began == ["12:00:30", "12:01:00", "12:02:00"]


async def test_a_shortened_interval_brings_the_next_slot_forward_and_no_clock_was_set_back(machine):
    work = Work()
    interval = 10 * MINUTE

    async def shorten(slot: datetime) -> None:
        nonlocal interval
        await work(slot)
        interval = MINUTE

    poll = Poll(lambda: datetime.now(UTC))
    poll.add("price", shorten, lambda: interval)
    with capture_logs() as logs:
        async with running(poll):
            await move(machine, poll, "12:01:00")
            await move(machine, poll, "12:02:00")
    assert work.began == ["12:00:30", "12:01:00", "12:02:00"]
    assert logs == []


async def test_an_interval_stretched_by_a_tick_applies_from_that_tick_on(machine):
    work = Work()
    interval = MINUTE

    async def stretch(slot: datetime) -> None:
        nonlocal interval
        await work(slot)
        interval = 10 * MINUTE

    poll = Poll(lambda: datetime.now(UTC))
    poll.add("price", stretch, lambda: interval)
    async with running(poll):
        for text in ("12:01:00", "12:02:00", "12:10:00", "12:11:00", "12:20:00"):
            await move(machine, poll, text)
    assert work.began == ["12:00:30", "12:10:00", "12:20:00"]
    assert poll.skipped == {"price": 0}


@pytest.mark.parametrize("start", ["12:01:59", "12:01:59.001", "12:01:59.999", "12:01:56"])
async def test_a_start_just_before_a_slot_waits_for_it_and_does_not_lose_it(machine, start):
    machine.move_to(at(start))
    work = Work(held=True)  # a first tick that still runs when the slot comes
    poll = polling(price=work)
    async with running(poll):
        await move(machine, poll, "12:02:00.001")
        work.free.set()
        await settle()
        await move(machine, poll, "12:03:00")
    assert work.began == ["12:02:00", "12:03:00"]
    assert poll.skipped == {"price": 0}


async def test_a_clock_set_forward_by_years_is_one_step(machine):
    work = Work()
    reported: list[tuple[Sequence[datetime], str, str]] = []
    poll = Poll(lambda: datetime.now(UTC))
    poll.add("price", work, lambda: MINUTE, lambda *missed: reported.append(missed))
    async with running(poll):
        machine.move_to(datetime(2056, 8, 1, 12, 0, 10, tzinfo=UTC))
        poll.check_clock()
        await settle()
    assert work.began == ["12:00:30", "12:00:00"]
    assert poll.skipped["price"] > 15_000_000
    ((slots, cause, _),) = reported
    assert (len(slots), cause) == (1440, "not running")
    assert slots[-1] == datetime(2056, 8, 1, 11, 59, tzinfo=UTC)


async def test_missed_slots_are_recorded_with_their_cause(machine):
    work = Work(held=True)
    missed: list[tuple[str, str]] = []
    poll = Poll(lambda: datetime.now(UTC))
    poll.add("price", work, lambda: MINUTE, lambda slots, cause, why: missed.extend((f"{s:%M}", cause) for s in slots))
    async with running(poll):
        await move(machine, poll, "12:01:00")
        work.free.set()
        await settle()
        await move(machine, poll, "12:04:10")
    assert work.began == ["12:00:30", "12:04:00"]
    assert missed == [("01", "busy"), ("02", "not running"), ("03", "not running")]
