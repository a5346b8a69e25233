"""A caller that asks for one tick after the other causes few reads; its answers are those of single reads."""

from datetime import timedelta

from lib.archive.objects import Objects
from lib.archive.read_ahead import BLOCK
from lib.archive.reader import ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.clock import MINUTE
from lib.schema import PRICE
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import DAY, manifest_of, reading, sealer, ticks_of

TICKS = ticks_of(DAY, 5 * MINUTE)[:36]


class Counting(ArchiveReader):
    """Counts the reads of tables."""

    reads = 0

    async def read(self, *args, **more):
        self.reads += 1
        return await super().read(*args, **more)


async def sealed_store(objects: Objects, clock: FakeClock) -> MemoryStore:
    store = MemoryStore(clock)
    for tick in TICKS:
        await store.write(reading(PRICE, tick))
    await sealer(store, objects, clock).seal(DAY)
    assert len((await manifest_of(objects)).snapshots["price"].ticks) == len(TICKS)
    return store


async def test_rows_and_markers_of_following_ticks_are_read_half_hours_at_a_time(objects, clock):
    hot = await sealed_store(objects, clock)
    reader = Counting(objects, clock=clock)
    archive = SealedStore(reader)
    for tick in TICKS:
        rows = (await archive.rows_between(PRICE, [tick], tiers=range(1), fields=("usd",)))[tick]
        assert rows.equals((await hot.rows_between(PRICE, [tick], tiers=range(1), fields=("usd",)))[tick])
        more = (await archive.rows_between(PRICE, [tick], ids=[14], fields=("usd",)))[tick]
        assert more["cmc_id"].to_list() == [14]
        assert await archive.markers(tick - MINUTE, tick) == await hot.markers(tick - MINUTE, tick)
    half_hours = (TICKS[-1] - TICKS[0]) // BLOCK + 1
    assert reader.reads <= 4 * half_hours + 10 + len(TICKS)  # with one look at the withdrawals for each tick


async def test_ticks_far_apart_are_read_alone(objects, clock):
    await sealed_store(objects, clock)
    reader = Counting(objects, clock=clock)
    archive = SealedStore(reader)
    for tick in TICKS[::12]:
        await archive.rows_between(PRICE, [tick], fields=("usd",))
    assert reader.reads == len(TICKS[::12])
    assert timedelta(hours=1) > BLOCK
