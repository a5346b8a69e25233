"""Long histories come from the side table of hours, with the rows that the minutes have."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from lib.archive.hourly import hourly_table
from lib.archive.manifest import manifest_name, part_name
from lib.archive.mend import Mender
from lib.archive.objects.folder import Folder
from lib.archive.reader import ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.archive.verify import verify
from lib.clock import MINUTE
from lib.schema import PRICE, VOLUME_RANK
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import BOTH, DAY, NEXT_NOON, Sealed, manifest_of, reading, rot, sealer, ticks_of

DAYS = [DAY - timedelta(days=1), DAY]
HOURLY = part_name(hourly_table("price"), DAY, 0)


class Recording(ArchiveReader):
    """Notes which tables are read."""

    def __init__(self, folder: Folder, *, clock: FakeClock) -> None:
        super().__init__(folder, clock=clock)
        self.read_tables: list[str] = []

    async def read(self, table, *args, **more):
        self.read_tables.append(table)
        return await super().read(table, *args, **more)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Two sealed days of ticks every twenty minutes, from the third minute on; one hour has none."""
    clock = FakeClock(NEXT_NOON)
    whole = Sealed(MemoryStore(clock), tmp_path_factory.mktemp("sealed"))

    async def seal() -> None:
        for day in DAYS:
            for number, tick in enumerate(ticks_of(day, 20 * MINUTE)):
                if not 9 <= number < 12:
                    for series in BOTH:
                        await whole.store.write(reading(series, tick + 3 * MINUTE, assets=2 + number % 3))
            await sealer(whole.store, Folder(whole.folder), clock).seal(day)

    asyncio.run(seal())
    return whole


@pytest.fixture
def hot(sealed, tmp_path, clock):
    return sealed.copy(tmp_path, clock)


def reader_of(folder: Path, clock: FakeClock) -> Recording:
    return Recording(Folder(folder), clock=clock)


async def firsts(store: MemoryStore) -> list[datetime]:
    return [
        marker.tick
        for marker in await store.markers(
            ticks_of(DAYS[0])[0], ticks_of(DAY)[-1] + timedelta(hours=1), series="price", resolution="1h"
        )
    ]


@pytest.mark.parametrize("series", BOTH)
@pytest.mark.parametrize("cmc_id", [7, 21, 28])
async def test_a_history_of_hours_reads_the_side_table_alone(series, cmc_id, hot, tmp_path, clock):
    reader, ticks = reader_of(tmp_path, clock), await firsts(hot)
    assert len(ticks) == 46
    found = await SealedStore(reader).history(series, cmc_id, ticks)
    assert found.equals(await hot.history(series, cmc_id, ticks))
    assert reader.read_tables == [hourly_table(series.name)]


async def test_the_lists_of_many_hours_come_from_the_side_table(hot, tmp_path, clock):
    reader, ticks = reader_of(tmp_path, clock), await firsts(hot)
    for selection in ({}, {"tiers": range(1)}, {"ids": [7, 21], "fields": ("usd",)}):
        found = await SealedStore(reader).rows_between(PRICE, ticks, resolution="1h", **selection)
        expected = await hot.rows_between(PRICE, ticks, resolution="1h", **selection)
        assert found.keys() == expected.keys()
        assert all(found[tick].equals(expected[tick]) for tick in ticks)
    assert {*reader.read_tables} == {"hourly/price"}


async def test_hours_beside_minutes_are_in_their_lists_once(hot, tmp_path, clock):
    ticks = (await hot.ticks("price", ticks_of(DAY)[0], ticks_of(DAY)[-1]))[:8]
    near = [*ticks[:1], ticks[3], ticks[3] + MINUTE, ticks[6]]
    await hot.write(reading(PRICE, near[2]))
    await sealer(hot, Folder(tmp_path), clock).seal(DAY)
    found = await SealedStore(reader_of(tmp_path, clock)).rows_between(PRICE, near)
    expected = await hot.rows_between(PRICE, near)
    assert all(found[tick].equals(expected[tick]) for tick in near)


async def test_a_history_of_minutes_takes_the_others_from_the_minutes(hot, tmp_path, clock):
    ticks = await hot.ticks("price", ticks_of(DAYS[0])[0], ticks_of(DAY)[-1])
    reader = reader_of(tmp_path, clock)
    assert (await SealedStore(reader).history(PRICE, 14, ticks)).equals(await hot.history(PRICE, 14, ticks))
    assert sorted(reader.read_tables) == ["hourly/price", "price"]


async def test_an_hour_that_comes_late_is_found_though_the_side_table_lacks_it(hot, tmp_path, clock):
    late = ticks_of(DAY)[3] + 5 * MINUTE
    await hot.write(reading(PRICE, late))
    await sealer(hot, Folder(tmp_path), clock).seal(DAY)
    ticks = await firsts(hot)
    assert late in ticks
    found = await SealedStore(reader_of(tmp_path, clock)).history(PRICE, 7, ticks)
    assert found.equals(await hot.history(PRICE, 7, ticks))


async def test_a_day_that_was_sealed_without_a_side_table_answers_from_its_minutes(hot, tmp_path, clock):
    manifest = await manifest_of(Folder(tmp_path), DAY)
    parts = [part for part in manifest.parts if not part.table.startswith("hourly/")]
    (tmp_path / manifest_name(DAY, 0)).write_text(manifest.model_copy(update={"parts": parts}).model_dump_json())
    (tmp_path / HOURLY).unlink()
    reader, ticks = reader_of(tmp_path, clock), await firsts(hot)
    assert (await SealedStore(reader).history(PRICE, 7, ticks)).equals(await hot.history(PRICE, 7, ticks))
    assert sorted(reader.read_tables) == ["hourly/price", "price"]


async def test_a_damaged_side_table_is_named_stops_no_history_and_is_mended(hot, tmp_path, clock):
    (tmp_path / HOURLY).write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    ticks = await firsts(hot)
    found = await SealedStore(reader_of(tmp_path, clock)).history(PRICE, 7, ticks)
    assert found.equals(await hot.history(PRICE, 7, ticks))
    damaged = [day async for day in verify(Folder(tmp_path), BOTH) if day.faults]
    assert [fault.name for day in damaged for fault in day.faults] == [HOURLY]
    empty = MemoryStore(clock)  # the minutes of the archive are enough
    assert await Mender(empty, Folder(tmp_path), BOTH, clock=clock).mend(damaged[0]) == []
    assert [day.faults async for day in verify(Folder(tmp_path), BOTH)] == [[], []]
    reader = reader_of(tmp_path, clock)
    assert (await SealedStore(reader).history(PRICE, 7, ticks)).equals(found)
    assert reader.read_tables == ["hourly/price"]


async def test_a_side_table_whose_minutes_are_damaged_too_is_not_mended_and_named(hot, tmp_path, clock):
    for name in (HOURLY, part_name("price", DAY, 0)):
        rot(tmp_path / name)
    (damaged,) = [day async for day in verify(Folder(tmp_path), BOTH) if day.faults]
    (tmp_path / part_name("price", DAY, 0)).write_bytes(b"")
    failures = await Mender(MemoryStore(clock), Folder(tmp_path), BOTH, clock=clock).mend(damaged)
    assert any(failure.startswith(f"{HOURLY}: price/") for failure in failures)


async def test_the_side_table_is_sorted_by_asset_and_has_the_first_tick_of_each_hour(hot, tmp_path):
    rows = pl.read_parquet(tmp_path / part_name(hourly_table("volume_rank"), DAY, 0), hive_partitioning=False)
    assert rows.columns == ["tick", *VOLUME_RANK.columns]
    assert rows.select("cmc_id", "tick").equals(rows.select("cmc_id", "tick").sort("cmc_id", "tick"))
    assert sorted(rows["tick"].unique()) == [tick for tick in await firsts(hot) if tick.date() == DAY]
