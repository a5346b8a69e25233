"""Markers: found by span, by nearness, by age; never before their rows."""

import asyncio
from datetime import datetime, timedelta

import polars as pl
import pytest

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker, StoredTick, unpack_ids
from lib.store import Steps
from tests.contract.snapshots import CAP, MINUTE, many, snapshot
from tests.fakes import HOUR, NOON

ROW = [{"symbol": "BTC"}]
SECOND = timedelta(seconds=1)
LONG_AGO, FAR_AHEAD = NOON - timedelta(days=365 * 50), NOON + timedelta(days=365 * 50)


def ticks(markers: list[Marker]) -> list[tuple[str, datetime]]:
    return [(marker.series, marker.tick) for marker in markers]


async def test_an_empty_store_has_no_markers(store):
    assert await store.markers(LONG_AGO, FAR_AHEAD) == []
    assert await store.markers(LONG_AGO, FAR_AHEAD, resolution="1h") == []
    assert await store.nearest(PRICE.name, NOON) is None
    assert await store.first(PRICE.name) is None


async def test_a_marker_is_read_with_every_field_that_was_written(store):
    written = snapshot(
        PRICE,
        rows=ROW,
        source="coin, desk=1",
        rejected=7,
        duplicates=1,
        duration=timedelta(seconds=1.234567),
        observed_at=NOON + timedelta(seconds=1, microseconds=250000),
        credits=0.25,
        interval=5 * MINUTE,
        unchanged=True,
        backfilled=True,
        new_level=True,
    )
    await store.write(written)
    assert await store.markers(NOON, NOON) == [written.marker]
    assert await store.nearest(PRICE.name, NOON) == written.marker
    assert await store.first(PRICE.name) == written.marker


async def test_a_span_includes_both_ends_and_nothing_beyond(store):
    for minute in range(5):
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW))
    found = await store.markers(NOON + MINUTE, NOON + 3 * MINUTE)
    assert [marker.tick for marker in found] == [NOON + minute * MINUTE for minute in (1, 2, 3)]
    between = NOON + timedelta(seconds=1), NOON + timedelta(seconds=59)
    assert await store.markers(*between) == []
    assert await store.markers(NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=2)) == []
    assert await store.markers(NOON + MINUTE, NOON) == []


async def test_markers_come_oldest_first_of_one_series_or_of_all(store):
    for tick in (NOON + MINUTE, NOON):
        for series in (VOLUME_RANK, PRICE, CAP):
            await store.write(snapshot(series, tick, [{}]))
    names = ["market_cap", "price", "volume_rank"]
    expected = [(name, tick) for tick in (NOON, NOON + MINUTE) for name in names]
    assert ticks(await store.markers(NOON, NOON + MINUTE)) == expected
    assert ticks(await store.markers(NOON, NOON + MINUTE, series=PRICE.name)) == expected[1::3]
    assert ticks(await store.markers(NOON, NOON + MINUTE, series="nothing")) == []


async def test_the_nearest_is_the_newest_not_after(store):
    for minute in (0, 1, 5):
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW))
    await store.write(snapshot(VOLUME_RANK, NOON + 3 * MINUTE, [{}]))

    async def nearest(at: datetime) -> datetime | None:
        marker = await store.nearest(PRICE.name, at)
        return marker.tick if marker else None

    assert await nearest(NOON - timedelta(seconds=1)) is None
    assert await nearest(NOON) == NOON
    assert await nearest(NOON + timedelta(seconds=59.9)) == NOON
    assert await nearest(NOON + MINUTE) == NOON + MINUTE
    assert await nearest(NOON + 4 * MINUTE) == NOON + MINUTE
    assert await nearest(FAR_AHEAD) == NOON + 5 * MINUTE


async def test_the_first_is_the_oldest_of_its_series(store):
    for hours in (3, 1, 2):
        await store.write(snapshot(PRICE, NOON - hours * HOUR, ROW))
    await store.write(snapshot(VOLUME_RANK, NOON - 9 * HOUR, [{}]))
    first = await store.first(PRICE.name)
    assert first.tick == NOON - 3 * HOUR


async def test_hourly_snapshots_are_the_first_ticks_of_the_hours_with_the_same_rows(store, place):
    written = {}
    for minutes in (0, 1, 59, 62, 63):
        for series in (PRICE, VOLUME_RANK):
            written[series, minutes] = many(series, 30, NOON + minutes * MINUTE)
            await store.write(written[series, minutes])
    await place.settle()
    firsts = [written[series, minutes] for minutes in (0, 62) for series in (PRICE, VOLUME_RANK)]
    assert await store.markers(NOON, NOON + 2 * HOUR, resolution="1h") == [kept.marker for kept in firsts]
    for kept in firsts:
        assert (await store.rows(kept.series, kept.tick, resolution="1h")).equals(kept.rows)
        few = await store.rows(kept.series, kept.tick, tiers=range(2), resolution="1h")
        assert few.equals(kept.rows.filter(kept.rows["tier"] < 2))


async def test_a_late_tick_takes_its_hour(store, place):
    late = snapshot(PRICE, NOON, ROW, backfilled=True)
    await store.write(snapshot(PRICE, NOON + MINUTE, ROW))
    await place.settle()
    await store.write(late)
    await place.settle()
    assert await store.markers(NOON, NOON + HOUR, resolution="1h") == [late.marker]
    assert (await store.rows(PRICE, NOON, resolution="1h")).equals(late.rows)


async def test_hours_filled_twice_stay_the_same(store, place):
    await store.write(snapshot(PRICE, rows=ROW))
    await place.settle()
    before = await store.markers(NOON, NOON, resolution="1h")
    await place.settle()
    assert await store.markers(NOON, NOON, resolution="1h") == before
    assert len(await store.rows(PRICE, NOON, resolution="1h")) == 1


async def test_a_reader_that_sees_a_marker_reads_all_its_rows_while_others_write(store, other):
    written = [many(PRICE, 300 + minute, NOON + minute * MINUTE) for minute in range(12)]

    async def write() -> None:
        for each in written:
            await store.write(each)

    writing = asyncio.create_task(write())
    seen: dict[datetime, pl.DataFrame] = {}
    while len(seen) < len(written):
        done = writing.done()
        for marker in await other.markers(NOON, NOON + HOUR):
            if marker.tick not in seen:
                seen[marker.tick] = await other.rows(PRICE, marker.tick)
                assert seen[marker.tick]["cmc_id"].to_list() == list(unpack_ids(marker.ids))
        assert not done or len(seen) == len(written)
    await writing
    assert [seen[each.tick].equals(each.rows) for each in written] == [True] * len(written)


async def test_what_lies_behind_the_horizon_is_as_old_as_the_retention(store, clock):
    before = store.horizon()
    clock.move(days=1)
    assert store.horizon() - before == timedelta(days=1)
    assert timedelta(days=30) <= clock() - store.horizon() <= timedelta(days=90)


async def test_a_ready_store_answers_a_real_question(store):
    await store.ready()


async def test_a_closed_store_can_be_closed_again_before_it_was_used(place):
    await place.open().close()


@pytest.mark.parametrize("limit", [LONG_AGO, FAR_AHEAD])
async def test_any_instant_may_be_asked_about(store, limit):
    await store.write(snapshot(PRICE, rows=ROW))
    assert (await store.rows(PRICE, limit)).is_empty()
    assert (await store.nearest(PRICE.name, limit) is not None) == (limit == FAR_AHEAD)


async def test_stored_ticks_have_their_interval_and_whether_they_were_backfilled(store):
    for minute, interval, late in ((0, 1, False), (1, 5, False), (3, 60, True)):
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW, interval=interval * MINUTE, backfilled=late))
    await store.write(snapshot(VOLUME_RANK, NOON + 2 * MINUTE, [{}]))
    first, second, third = (
        StoredTick(NOON, MINUTE, False),
        StoredTick(NOON + MINUTE, 5 * MINUTE, False),
        StoredTick(NOON + 3 * MINUTE, HOUR, True),
    )
    assert await store.stored_ticks(PRICE.name, NOON, NOON + 3 * MINUTE) == [first, second, third]
    assert await store.stored_ticks(PRICE.name, NOON + SECOND, NOON + 2 * MINUTE) == [second]
    assert await store.stored_ticks(PRICE.name, NOON + MINUTE, NOON) == []
    assert await store.stored_ticks("nothing", NOON, NOON + HOUR) == []


async def test_stored_ticks_near_steps_are_there_and_have_all_that_a_known_at_needs(store, clock):
    for minute in range(12):
        source = "coinmarketcap" if minute < 5 else "a second, source=1"
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW, source=source))
    clock.move(minutes=30)
    await store.withdraw(PRICE.name, NOON + 2 * MINUTE, NOON + 7 * MINUTE, why="test")
    clock.move(minutes=30)
    await store.undo_withdrawal(PRICE.name, NOON + 7 * MINUTE, NOON + 7 * MINUTE)
    every = {m.tick: m.known_tick for m in await store.markers(NOON, NOON + 11 * MINUTE, series=PRICE.name)}
    steps = Steps(NOON + 2 * MINUTE, 5 * MINUTE)
    near = await store.stored_ticks(PRICE.name, NOON, NOON + 11 * MINUTE, known=True, near=steps)
    assert {near[0].source, near[-1].source} == {"coinmarketcap", "a second, source=1"}
    assert {NOON + 2 * MINUTE, NOON + 7 * MINUTE} <= {tick.tick for tick in near}
    assert near == [every[tick.tick] for tick in near]
    for tick in near:
        for known_at in (NOON + 20 * MINUTE, NOON + 45 * MINUTE, NOON + 90 * MINUTE):
            known = await store.ticks(PRICE.name, tick.tick, tick.tick, known_at=known_at)
            assert tick.answers(known_at) == bool(known)


async def test_stored_ticks_by_the_hour_are_the_first_of_each(store, place):
    for minute in (5, 6, 60, 61):
        await store.write(snapshot(PRICE, NOON - 3 * HOUR + minute * MINUTE, ROW))
    await place.settle()
    found = await store.stored_ticks(PRICE.name, NOON - 3 * HOUR, NOON, resolution="1h")
    assert found == [StoredTick(NOON - 3 * HOUR + minute * MINUTE, MINUTE, False) for minute in (5, 60)]


async def test_the_newest_tick_is_one_fetched_at_its_time_where_there_is_any(store):
    assert await store.newest_tick(PRICE.name, NOON) is None
    await store.write(snapshot(PRICE, NOON - MINUTE, ROW, interval=24 * HOUR, backfilled=True))
    assert await store.newest_tick(PRICE.name, NOON) == StoredTick(NOON - MINUTE, 24 * HOUR, True)
    for minute in (-3, -2):
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW, interval=2 * MINUTE))
    assert await store.newest_tick(PRICE.name, NOON) == StoredTick(NOON - 2 * MINUTE, 2 * MINUTE, False)
    assert await store.newest_tick(PRICE.name, NOON - 3 * MINUTE) == StoredTick(NOON - 3 * MINUTE, 2 * MINUTE, False)
    assert await store.newest_tick(PRICE.name, NOON - 4 * MINUTE) is None


async def test_a_withdrawn_tick_is_marked_until_it_is_restored(store):
    for minute in (0, 1):
        await store.write(snapshot(PRICE, NOON + minute * MINUTE, ROW))
    await store.withdraw(PRICE.name, NOON, NOON, why="wrong prices")
    assert [tick.withdrawn for tick in await store.stored_ticks(PRICE.name, NOON, NOON + HOUR)] == [True, False]
    await store.undo_withdrawal(PRICE.name, NOON, NOON)
    assert [tick.withdrawn for tick in await store.stored_ticks(PRICE.name, NOON, NOON + HOUR)] == [False, False]


@pytest.mark.parametrize("late", [0, 1, 2])
async def test_stored_ticks_of_many_weeks_are_all_found(store, late):
    """InfluxDB stores each week by itself."""
    weeks = [NOON - timedelta(days=14), NOON - timedelta(days=7), NOON]
    for number, tick in enumerate(weeks):
        await store.write(snapshot(PRICE, tick, ROW, backfilled=number == late))
    await store.withdraw(PRICE.name, weeks[1], weeks[1], why="test")
    stored = await store.stored_ticks(PRICE.name, weeks[0], NOON)
    assert stored == [StoredTick(tick, MINUTE, tick == weeks[late], tick == weeks[1]) for tick in weeks]
    live = [tick for number, tick in enumerate(stored) if number != late]
    assert await store.newest_tick(PRICE.name, NOON) == live[-1]
