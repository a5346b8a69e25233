"""kill -9 at each step of a tick: the next process continues, nothing fetched is lost, no half snapshot is visible."""

import asyncio
import signal

import pytest

from lib.ingest.spool_folder import Counts, counted
from lib.snapshot_file import encode
from tests.fakes import FakeClock
from tests.faults import victim
from tests.faults.invariants import causes, hold, no_answer_is_false, noted_ticks
from tests.faults.victim import STEPS, Task
from tests.faults.world import MINUTE, START, World

# One server of victims is enough.
pytestmark = pytest.mark.xdist_group("victims")

FETCHED = STEPS.index("after the snapshot's file")
"""From this step on the last tick's snapshot is on disk."""


def killed(task: Task) -> None:
    assert victim.run(task) == -signal.SIGKILL, f"{task.step} never came"


async def goes_on(world: World, task: Task) -> None:
    """The next process runs two ticks: all is true before, between and after."""
    world.clock.now = task.start + task.ticks * MINUTE
    taken = noted_ticks(task.taken)
    await hold(world, task.series, taken=taken)
    async with world.opened(task.series) as ingest:
        await hold(world, task.series, taken=taken)
        assert await world.ticks(ingest, 2) == [True, True]
    await hold(world, task.series, taken=taken)


async def all_is_stored_but(world: World, task: Task, missing: dict[str, int]) -> None:
    assert await causes(world, task.series) == missing
    assert counted(world.spool_of(task.series)) == Counts(fetched=task.ticks + 2 - sum(missing.values()))


@pytest.mark.parametrize("series", ["price", "volume_rank"])
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step(tmp_path, series, step):
    task = Task(tmp_path, series, step, START)
    await asyncio.to_thread(killed, task)
    world = World(tmp_path, FakeClock(START))
    await goes_on(world, task)
    await all_is_stored_but(world, task, {} if STEPS.index(step) >= FETCHED else {"not running": 1})


@pytest.mark.parametrize("series", ["price", "volume_rank"])
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_with_a_queue_of_an_outage(tmp_path, series, step):
    task = Task(tmp_path, series, step, START, ticks=4, away=2)
    await asyncio.to_thread(killed, task)
    world = World(tmp_path, FakeClock(START))
    await goes_on(world, task)
    await all_is_stored_but(world, task, {} if STEPS.index(step) >= FETCHED else {"not running": 1})


@pytest.mark.parametrize("step", STEPS[FETCHED - 3 : FETCHED + 5])
async def test_killed_at_any_step_of_a_full_spool(tmp_path, step):
    """The spool has room for two snapshots: the third drops the first, which is counted and named."""
    size = await size_of_a_snapshot(tmp_path / "measured")
    task = Task(tmp_path, "price", step, START, ticks=3, away=2, limit=int(size * 2.7))
    await asyncio.to_thread(killed, task)
    world = World(tmp_path, FakeClock(START), limit=task.limit)
    await goes_on(world, task)
    found = await causes(world, "price")
    counts = counted(world.spool_of("price"))
    assert (counts.spooled, counts.stored + counts.dropped) == (0, counts.fetched)
    fetched = step in ("after the snapshot's file", "after the spool")
    assert found == named(store=counts.dropped, not_running=0 if fetched else 1)


def named(**ticks: int) -> dict[str, int]:
    """Causes, those that there are."""
    return {name.replace("_", " "): count for name, count in ticks.items() if count}


async def size_of_a_snapshot(folder) -> int:
    async with World(folder, FakeClock(START)).opened("price") as ingest:
        snapshot = await ingest.tick(START)
    assert snapshot is not None
    return len(encode(snapshot))


async def test_killed_again_and_again_at_another_step_each_time(tmp_path):
    """Each process is killed in its second tick, until every step had its turn."""
    world = World(tmp_path, FakeClock(START))
    for number, step in enumerate(STEPS):
        task = Task(tmp_path, "price", step, START + 2 * number * MINUTE)
        await asyncio.to_thread(killed, task)
    world.clock.now = START + 2 * len(STEPS) * MINUTE
    await hold(world, "price", taken=noted_ticks(task.taken))
    assert await world.run("price", 1) == [True]
    await hold(world, "price", taken=noted_ticks(task.taken))
    assert await causes(world, "price") == {"not running": FETCHED}


@pytest.mark.parametrize("series", ["price", "volume_rank"])
@pytest.mark.parametrize("step", ["in the rows", "before the marker", "after the write"])
async def test_a_reader_sees_whole_lists_while_writers_are_killed(tmp_path, series, step):
    world = World(tmp_path, FakeClock(START))
    other = {"price": "volume_rank", "volume_rank": "price"}[series]
    await world.run(other, 4)
    world.clock.now = START
    task = Task(tmp_path, series, step, START)
    await asyncio.to_thread(killed, task)
    world.clock.now = START + 5 * MINUTE
    async with world.api() as client:
        whole = await no_answer_is_false(client, [START + n * MINUTE for n in range(4)])
    assert whole == 4  # the minutes without one of the two are answered from the minute before


@pytest.mark.parametrize("series", ["price", "volume_rank"])
@pytest.mark.parametrize(("kilobytes", "missing"), [(2, {"spool": 5}), (24, {}), (48, {})])
async def test_a_disk_that_fills_up_is_a_gap_and_no_more(tmp_path, series, kilobytes, missing):
    """A limit on each file's size stands for the disk: the spool's files do not fit, or the store's alone."""
    world = World(tmp_path, FakeClock(START))
    await world.run(series, 1)
    task = Task(tmp_path, series, "never", START + MINUTE, ticks=5, largest=kilobytes * 1024)
    assert await asyncio.to_thread(victim.run, task) == 0
    await goes_on(world, task)
    assert await causes(world, series) == missing
