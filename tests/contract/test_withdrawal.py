"""A withdrawn tick keeps its rows and its marker; the marker says from when to when the tick does not answer."""

from dataclasses import replace
from datetime import timedelta

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot_file import decode, encode
from lib.store import Store
from tests.contract.snapshots import MINUTE, snapshot
from tests.fakes import HOUR, NOON

ROW = [{"symbol": "BTC"}]
WHY = 'prices of "another" coin, C:\\list'


async def fill(store: Store, *minutes: int) -> None:
    for minute in minutes:
        for series in (PRICE, VOLUME_RANK):
            await store.write(snapshot(series, NOON + minute * MINUTE, ROW if series == PRICE else [{}]))


async def test_a_withdrawal_changes_the_markers_of_its_series_and_span_and_nothing_else(store, clock):
    await fill(store, 0, 1, 2, 3)
    before = await store.markers(NOON, NOON + HOUR)
    rows = await store.rows(PRICE, NOON + MINUTE)
    clock.move(hours=1)
    changed = [NOON + MINUTE, NOON + 2 * MINUTE]
    assert await store.withdraw(PRICE.name, NOON + MINUTE, NOON + 2 * MINUTE, why=WHY) == changed
    assert await store.markers(NOON, NOON + HOUR) == [
        replace(old, withdrawn_at=clock(), withdrawn_why=WHY)
        if old.series == PRICE.name and old.tick in changed
        else old
        for old in before
    ]
    assert (await store.rows(PRICE, NOON + MINUTE)).equals(rows)
    assert await store.ticks(PRICE.name, NOON, NOON + HOUR) == [NOON, NOON + 3 * MINUTE]
    assert len(await store.ticks(VOLUME_RANK.name, NOON, NOON + HOUR)) == 4


async def test_a_second_withdrawal_of_a_tick_changes_nothing(store, clock):
    await fill(store, 0, 1)
    await store.withdraw(PRICE.name, NOON, NOON, why="first")
    before = await store.nearest(PRICE.name, NOON)
    clock.move(minutes=5)
    assert await store.withdraw(PRICE.name, NOON, NOON + MINUTE, why="second") == [NOON + MINUTE]
    assert await store.nearest(PRICE.name, NOON) == before
    assert await store.withdraw(PRICE.name, NOON + 2 * MINUTE, NOON + HOUR, why="nothing there") == []


async def test_a_restored_tick_answers_again_from_the_time_of_its_restoration(store, clock):
    await fill(store, 0, 1)
    await store.withdraw(PRICE.name, NOON, NOON, why=WHY)
    withdrawn_at = clock()
    clock.move(minutes=5)
    assert await store.undo_withdrawal(PRICE.name, NOON, NOON + HOUR) == [NOON]
    marker = await store.nearest(PRICE.name, NOON)
    assert (marker.withdrawn_at, marker.restored_at) == (withdrawn_at, clock())
    assert await store.ticks(PRICE.name, NOON, NOON + HOUR) == [NOON, NOON + MINUTE]
    instants = [withdrawn_at - MINUTE, withdrawn_at, clock() - timedelta(seconds=1), clock()]
    assert [marker.is_withdrawn(at) for at in instants] == [False, True, True, False]
    assert await store.undo_withdrawal(PRICE.name, NOON, NOON + HOUR) == []


async def test_of_repeated_changes_the_last_counts(store, clock):
    await fill(store, 0)
    for _ in range(2):
        clock.move(minutes=1)
        await store.withdraw(PRICE.name, NOON, NOON, why=WHY)
        withdrawn_at = clock()
        clock.move(minutes=1)
        await store.undo_withdrawal(PRICE.name, NOON, NOON)
    await store.withdraw(PRICE.name, NOON, NOON, why="again")
    marker = await store.nearest(PRICE.name, NOON)
    assert (marker.withdrawn_at, marker.restored_at, marker.withdrawn_why) == (clock(), None, "again")
    assert withdrawn_at < clock()
    assert marker.is_withdrawn()
    assert await store.ticks(PRICE.name, NOON, NOON) == []


async def test_the_hours_are_withdrawn_with_the_minutes(store, place, clock):
    await fill(store, 0, 1, 60)
    await place.settle()
    await store.withdraw(PRICE.name, NOON, NOON, why=WHY)
    await place.settle()
    first, second = await store.markers(NOON, NOON + 2 * HOUR, series=PRICE.name, resolution="1h")
    assert (first.tick, first.withdrawn_at, first.withdrawn_why) == (NOON, clock(), WHY)
    assert not second.is_withdrawn()
    # The next tick of that hour does not take its place: past the retention it is not there.
    assert await store.ticks(PRICE.name, NOON, NOON + 2 * HOUR, resolution="1h") == [NOON + HOUR]
    assert await store.ticks(PRICE.name, NOON, NOON + 2 * HOUR) == [NOON + MINUTE, NOON + HOUR]


async def test_a_tick_withdrawn_before_its_hour_was_copied_is_withdrawn_there_too(store, place, clock):
    await fill(store, 0, 1)
    await store.withdraw(PRICE.name, NOON, NOON, why=WHY)
    await place.settle()
    (marker,) = await store.markers(NOON, NOON + HOUR, series=PRICE.name, resolution="1h")
    assert (marker.withdrawn_at, marker.withdrawn_why) == (clock(), WHY)


async def test_a_withdrawn_tick_is_not_written_again(store):
    await fill(store, 0)
    await store.withdraw(PRICE.name, NOON, NOON, why=WHY)
    await fill(store, 0)
    assert (await store.nearest(PRICE.name, NOON)).is_withdrawn()


async def test_a_snapshot_file_keeps_the_withdrawal_and_a_store_takes_it_over(store, other, clock):
    kept = snapshot(PRICE, NOON, ROW, withdrawn_at=NOON + HOUR, withdrawn_why=WHY)
    restored = decode(encode(kept))
    assert restored.marker == kept.marker
    assert restored.marker.hash == snapshot(PRICE, NOON, ROW).marker.hash
    await store.write(restored)
    assert await other.nearest(PRICE.name, NOON) == kept.marker
