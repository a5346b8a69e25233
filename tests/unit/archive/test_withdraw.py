"""A withdrawal reaches the minutes that only the archive still has."""

from lib.archive.reader import ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.archive.withdraw import Withdrawals
from tests.unit.archive.world import BOTH, DAY, archived, filled, sealer, stored, ticks_of


async def test_a_tick_that_the_store_has_deleted_is_withdrawn_and_restored_in_the_archive(objects, clock):
    store = filled(clock, DAY)
    await sealer(store, objects, clock).seal(DAY)
    gone, left = ticks_of(DAY)[3:5]
    del store.snapshots["price", gone]
    place = Withdrawals(store, objects, BOTH, clock=clock)
    assert await place.withdraw("price", gone, left, why="prices of another coin") == [gone, left]
    sealed = {marker.tick: marker for marker in await archived(objects) if marker.series == "price"}
    for tick in (gone, left):
        assert (sealed[tick].withdrawn_at, sealed[tick].withdrawn_why) == (clock(), "prices of another coin")
    assert not (await SealedStore(ArchiveReader(objects, clock=clock)).ticks("price", gone, left))
    again = Withdrawals(store, objects, BOTH, clock=clock)
    assert await again.withdraw("price", gone, left, why="again") == []
    clock.move(minutes=5)
    undoing = Withdrawals(store, objects, BOTH, clock=clock)
    assert await undoing.undo_withdrawal("price", gone, left) == [gone, left]
    sealed = {marker.tick: marker for marker in await archived(objects) if marker.series == "price"}
    assert {sealed[tick].restored_at for tick in (gone, left)} == {clock()}
    await sealer(store, objects, clock).seal(DAY)  # what the store did too is not added twice
    assert len(await objects.names(f"_manifest/date={DAY}")) == 3
    assert [m for m in await archived(objects) if m.tick != gone] == [m for m in await stored(store) if m.tick != gone]
