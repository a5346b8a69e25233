"""Verifying names every damage and stops at none; mending brings back what the store still has."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from lib.archive.manifest import manifest_name, part_name
from lib.archive.mend import Mender
from lib.archive.objects.folder import Folder
from lib.archive.parts import write_part
from lib.archive.tables import series_columns
from lib.archive.verify import verify
from lib.clock import DAY as A_DAY
from lib.errors import StoreRejected
from lib.schema import PRICE
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import (
    BOTH,
    DAY,
    NEXT_NOON,
    Sealed,
    archived,
    filled,
    manifest_of,
    reading,
    rot,
    sealer,
    stored,
    ticks_of,
)

BEFORE = DAY - A_DAY


@pytest.fixture
def root(tmp_path):
    return tmp_path / "archive"


@pytest.fixture
def folder(root):
    return Folder(root)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Two sealed days; the later one has two parts."""
    clock = FakeClock(NEXT_NOON)
    whole = Sealed(filled(clock, BEFORE, DAY, skip=1), tmp_path_factory.mktemp("sealed"))

    async def seal() -> None:
        for day in (BEFORE, DAY):
            await sealer(whole.store, Folder(whole.folder), clock).seal(day)
        await whole.store.write(reading(PRICE, ticks_of(DAY)[-1]))
        await sealer(whole.store, Folder(whole.folder), clock).seal(DAY)

    asyncio.run(seal())
    return whole


@pytest.fixture
def store(sealed, root, clock):
    return sealed.copy(root, clock)


async def faults(folder: Folder) -> dict[str, str]:
    return {fault.name: fault.what async for day in verify(folder, BOTH) for fault in day.faults}


async def test_a_sound_archive_has_no_fault(folder, store):
    assert [(day.day, day.snapshots, day.faults) async for day in verify(folder, BOTH)] == [
        (BEFORE, 46, []),
        (DAY, 47, []),
    ]


async def test_an_archive_that_can_only_be_read_is_verified(root, store):
    class ReadOnly(Folder):
        def workspace(self) -> NoReturn:
            raise StoreRejected("Read-only file system")

    assert list(await faults(ReadOnly(root))) == []


@pytest.mark.parametrize("table", ["price", "volume_rank", "snapshot"])
async def test_a_rotted_part_is_named_and_stops_nothing(folder, root, store, table):
    rot(root / part_name(table, BEFORE, 0))
    rot(root / part_name(table, DAY, 0))
    assert await faults(folder) == {
        part_name(table, day, 0): "its digest is not that of the manifest" for day in (BEFORE, DAY)
    }


async def test_a_missing_part_is_named(folder, root, store):
    (root / part_name("price", DAY, 1)).unlink()
    assert list(await faults(folder)) == [part_name("price", DAY, 1)]


async def test_a_damaged_manifest_is_named_and_stops_nothing(folder, root, store):
    (root / manifest_name(BEFORE, 0)).write_bytes(b"{")
    rot(root / part_name("price", DAY, 0))
    assert list(await faults(folder)) == [f"date={BEFORE}", part_name("price", DAY, 0)]


async def test_a_tick_in_two_parts_is_named(folder, root, store, clock):
    """A part as no sealer would write it, with the digest that its manifest says."""
    manifest = await manifest_of(folder)
    twice = part_name("price", DAY, 1)
    rows = folder.scan([part_name("price", DAY, 0)], series_columns(PRICE)).head(3).collect()
    (root / twice).unlink()
    write_part(root / twice, series_columns(PRICE), iter([rows]), rows_in_group=3)
    from lib.archive.parts import describe_part

    parts = [describe_part(root / twice, twice, "price") if part.name == twice else part for part in manifest.parts]
    body = manifest.model_copy(update={"number": 2, "parts": parts}).model_dump_json()
    await folder.create(manifest_name(DAY, 2), body.encode())
    assert (await faults(folder))[twice].endswith(f"is in {part_name('price', DAY, 0)} too")


async def mended(folder: Folder, store: MemoryStore) -> list[str]:
    mender = Mender(store, folder, BOTH, clock=lambda: ticks_of(DAY)[0])
    return [failure async for day in verify(folder, BOTH) if day.faults for failure in await mender.mend(day)]


@pytest.mark.parametrize("table", ["price", "hourly/price", "volume_rank", "snapshot", "withdrawal", "gap"])
@pytest.mark.parametrize("damage", [rot, Path.unlink])
async def test_a_damaged_part_is_mended_from_the_store(folder, root, store, table, damage):
    damage(root / part_name(table, DAY, 0))
    assert await mended(folder, store) == []
    assert await faults(folder) == {}
    assert await archived(folder) == await stored(store)


async def test_a_damaged_manifest_is_mended_from_the_parts_even_when_the_store_is_empty(folder, root, store, clock):
    before = await manifest_of(folder, BEFORE)
    (root / manifest_name(BEFORE, 0)).write_bytes(b"{")
    clock.move(days=100)
    assert await mended(folder, MemoryStore(clock)) == []
    again = await manifest_of(folder, BEFORE)
    assert (again.snapshots, again.spacing) == (before.snapshots, before.spacing)
    assert {part.sha256 for part in again.parts} == {part.sha256 for part in before.parts}


async def test_a_part_whose_snapshots_the_store_has_lost_stays_as_it_is_and_is_named(folder, root, store):
    del store.snapshots["price", ticks_of(DAY)[0]]
    rot(root / part_name("price", DAY, 0))
    damaged = (root / part_name("price", DAY, 0)).read_bytes()
    (failure,) = await mended(folder, store)
    assert failure == f"{part_name('price', DAY, 0)}: the store no longer has 1 of its 23 snapshots"
    assert (root / part_name("price", DAY, 0)).read_bytes() == damaged


@pytest.mark.parametrize("lost", [False, True])
async def test_a_manifest_of_additions_is_made_again_from_the_parts_even_when_the_store_is_empty(
    folder, root, store, clock, lost
):
    before = await archived(folder)
    (root / manifest_name(DAY, 1)).write_bytes(b"{")
    if lost:
        (root / manifest_name(DAY, 0)).write_bytes(b"{")
    assert await mended(folder, MemoryStore(clock)) == []
    assert await archived(folder) == before
    assert (await manifest_of(folder)).number == 1


async def test_a_damaged_manifest_and_a_damaged_part_are_mended_together(folder, root, store):
    (root / manifest_name(DAY, 1)).write_bytes(b"{")
    rot(root / part_name("price", DAY, 0))
    assert await mended(folder, store) == []
    assert await archived(folder) == await stored(store)


async def test_withdrawals_are_mended_from_the_store_or_not_at_all(folder, root, store, clock):
    tick = ticks_of(DAY)[3]
    await store.withdraw("price", tick, tick, why="prices of another coin")
    await sealer(store, folder, clock).seal(DAY)
    part = root / part_name("withdrawal", DAY, 2)
    for damage in (rot, Path.unlink):
        damage(part)
        assert await mended(folder, store) == []
        assert await archived(folder) == await stored(store)
    rot(part)
    assert await mended(folder, MemoryStore(clock)) == [
        f"{part_name('withdrawal', DAY, 2)}: the store has 0 of its 1 withdrawals"
    ]


async def test_what_mending_does_not_change_is_not_called_mended(folder, root, store):
    manifest = await manifest_of(folder)
    parts = [part for part in manifest.parts if part.name != part_name("price", DAY, 1)]
    body = manifest.model_copy(update={"number": 2, "parts": parts}).model_dump_json()
    await folder.create(manifest_name(DAY, 2), body.encode())
    assert await mended(folder, store) == ["price: no part has 2026-08-01T23:00:00Z"]


async def test_another_snapshot_of_a_tick_than_was_sealed_mends_no_part(folder, root, store):
    tick = ticks_of(DAY)[3]
    store.snapshots["price", tick] = reading(PRICE, tick, assets=4)
    for table in ("price", "snapshot"):
        rot(root / part_name(table, DAY, 0))
    assert sorted(await mended(folder, store)) == [
        f"{part_name(table, DAY, 0)}: the store has other snapshots than were sealed" for table in ("price", "snapshot")
    ]


@pytest.mark.parametrize("body", [b'{"version": 2}', None])
async def test_a_manifest_of_a_later_version_is_refused_and_not_mended(folder, root, store, body):
    later = (await manifest_of(folder)).model_dump_json().replace('"version":1', '"version":2').encode()
    (root / manifest_name(DAY, 1)).write_bytes(body or later)
    with pytest.raises(StoreRejected, match="is of a later version of topcoins: upgrade this one"):
        await mended(folder, store)
    assert (root / manifest_name(DAY, 1)).exists()
