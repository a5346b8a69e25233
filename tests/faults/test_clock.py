"""A clock that is set back or forward, and two ingestors of one series at once."""

import asyncio
from datetime import timedelta

import pytest

from lib.errors import SettingsRejected
from lib.schema import PRICE
from lib.snapshot import unpack_ids
from tests.fakes import FakeClock
from tests.faults.invariants import causes, hold
from tests.faults.world import MINUTE, SERIES, START, World

STEPS = [timedelta(seconds=-1), -1 * MINUTE, -3 * MINUTE, timedelta(seconds=30), 2 * MINUTE, timedelta(hours=3)]


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("restarts", [False, True])
async def test_a_clock_that_is_set_loses_nothing(tmp_path, series, step, restarts):
    world = World(tmp_path)
    async with world.opened(series) as ingest:
        assert await world.ticks(ingest, 3) == [True] * 3
        world.clock.now += step
        if not restarts:
            assert await world.ticks(ingest, 3) == [True] * 3
    if restarts:
        there_already = step in (-1 * MINUTE, -3 * MINUTE)
        assert await world.run(series, 3) == [not there_already, True, True]
    await hold(world, series, clock_steps=step < timedelta())
    found = await causes(world, series)
    assert set(found) <= {"not running"}
    assert sum(found.values()) == max(0, step // MINUTE)


@pytest.mark.parametrize("series", SERIES)
async def test_a_clock_set_back_by_a_year_starts_anew_and_is_whole(tmp_path, series):
    world = World(tmp_path)
    assert await world.run(series, 2) == [True, True]
    world.clock.now -= timedelta(days=365)
    assert await world.run(series, 2) == [True, True]
    await hold(world, series, clock_steps=True)
    assert await causes(world, series) == {}


@pytest.mark.parametrize("series", SERIES)
async def test_two_ingestors_with_one_spool_are_one_too_many(tmp_path, series):
    world = World(tmp_path)
    async with world.opened(series):
        with pytest.raises(SettingsRejected, match="another process fills it"):
            async with world.opened(series):
                raise AssertionError("two have the spool")
    await hold(world, series)


@pytest.mark.parametrize("store", ["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
@pytest.mark.parametrize("ahead", [0, 1])
async def test_two_ingestors_with_one_store_leave_one_whole_snapshot_for_each_tick(tmp_path, request, store, ahead):
    """Each has its own spool; a reader reads throughout."""
    make = request.getfixturevalue("influx_bucket").store if store == "influx" else None
    worlds = [World(tmp_path, FakeClock(START + n * ahead * MINUTE), make_store=make) for n in range(2)]
    other = World(tmp_path / "other", worlds[1].clock, make_store=lambda clock: worlds[0].open_store())
    done = asyncio.Event()
    if store == "influx":  # which has no transactions: a half-deleted tick may be visible for a moment, and is refused
        done.set()
    reading = asyncio.create_task(look(worlds[0], done))
    brought = await asyncio.gather(worlds[0].run("price", 8), other.run("price", 8))
    assert list(brought) == [[True] * 8] * 2
    done.set()
    await reading
    world = worlds[0]
    for last, each in ((12, other), (13, world)):  # alone: on a busy machine one may have left its last ticks to later
        each.clock.now = START + last * MINUTE
        assert await each.run("price", 1) == [True]
    keeper = world.open_store()
    markers = await keeper.markers(START, world.clock.now, series="price")
    assert [marker.tick for marker in markers] == [START + n * MINUTE for n in (*range(8 + ahead), 12, 13)]
    for marker in markers:
        assert (await keeper.rows(PRICE, marker.tick))["cmc_id"].to_list() == list(unpack_ids(marker.ids))
    await keeper.close()


async def look(world: World, done: asyncio.Event) -> None:
    """Each list that is answered is complete; an incomplete one is refused."""
    store = world.open_store()
    while not done.is_set():
        for marker in await store.markers(START, START + 20 * MINUTE, series="price"):
            rows = await store.rows(PRICE, marker.tick)
            assert rows["cmc_id"].to_list() == list(unpack_ids(marker.ids))
        await asyncio.sleep(0)
    await store.close()
