"""A caller that asks for one tick after the other causes few reads; its answers are those of single reads."""

from datetime import timedelta

import polars as pl

from lib.archive.objects import Objects
from lib.archive.read_ahead import BLOCK
from lib.archive.reader import ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.clock import MINUTE
from lib.schema import PRICE
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import DAY, manifest_of, names_of, reading, sealer, ticks_of

TICKS = ticks_of(DAY, 5 * MINUTE)[:36]


class Counting(ArchiveReader):
    """Counts the reads of tables."""

    reads = 0

    async def read(self, *args, **more):
        self.reads += 1
        return await super().read(*args, **more)

    async def read_ticks(self, *args, **more):
        self.reads += 1
        return await super().read_ticks(*args, **more)


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


class Slicing(ArchiveReader):
    """Notes which rows of parts are read, and whether a part was searched."""

    def __init__(self, objects: Objects, *, clock: FakeClock) -> None:
        super().__init__(objects, clock=clock)
        self.slices: list[tuple[int, int]] = []
        self.searches = 0

    async def _slice(self, name, offset, count, *args):
        self.slices.append((offset, count))
        return await super()._slice(name, offset, count, *args)

    async def read(self, *args, **more):
        self.searches += 1
        return await super().read(*args, **more)


async def test_of_one_tick_only_its_rows_are_read_and_once(objects, clock):
    hot = await sealed_store(objects, clock)
    reader = Slicing(objects, clock=clock)
    archive = SealedStore(reader)
    tick = TICKS[5]
    for selection in ({"tiers": range(1)}, {"ids": [7, 14]}, {"tickers": ["SYMBOL 2"]}):
        rows = (await archive.rows_between(PRICE, [tick], fields=("usd",), **selection))[tick]
        assert rows.equals((await hot.rows_between(PRICE, [tick], fields=("usd",), **selection))[tick])
    assert await archive.markers(tick, tick) == await hot.markers(tick, tick)
    assert (reader.slices, reader.searches) == ([(15, 3), (5, 1)], 0)


async def test_late_ticks_in_further_parts_are_found(objects, clock):
    hot = await sealed_store(objects, clock)
    for minute in (2, 61, 700):
        await hot.write(reading(PRICE, TICKS[0] + minute * MINUTE))
    await sealer(hot, objects, clock).seal(DAY)
    archive = SealedStore(reader := Slicing(objects, clock=clock))
    ticks = await hot.ticks("price", TICKS[0], TICKS[-1] + timedelta(hours=20))
    assert len(ticks) == len(TICKS) + 3
    for tick in reversed(ticks):
        assert (await archive.rows_between(PRICE, [tick]))[tick].equals(await hot.rows(PRICE, tick))
        assert await archive.markers(tick - MINUTE, tick) == await hot.markers(tick - MINUTE, tick)
    assert reader.searches == 0


async def test_a_part_that_is_not_in_the_order_of_its_ticks_is_searched(objects, clock, tmp_path):
    hot = await sealed_store(objects, clock)
    (part,) = names_of(await manifest_of(objects), "price")
    with objects.workspace() as folder:
        rows = pl.read_parquet(await objects.local(part, folder), hive_partitioning=False)
        rows.reverse().write_parquet(made := folder / "made.parquet")
        await objects.delete(part)
        await objects.create(part, made)
    archive = SealedStore(reader := Slicing(objects, clock=clock))
    rows = (await archive.rows_between(PRICE, [TICKS[0]]))[TICKS[0]]
    assert rows.equals(await hot.rows(PRICE, TICKS[0]))
    assert reader.searches == 1
