"""The drill: a backup of one store, restored into a new one, has the same counts and checksums of every day."""

from datetime import timedelta
from pathlib import Path

import pytest

from lib.archive.backup import Day, back_up, restore
from lib.cli.forecast import sample_snapshot
from lib.errors import SettingsRejected, StoreMalformed
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot_file import ENDING, DamagedFile, encode
from lib.store import Store
from lib.store.sqlite import SqliteStore
from tests.fakes import NOON, FakeClock, MemoryStore

MINUTE = timedelta(minutes=1)
HOURS = (0, 1, 60, 61, 13 * 60, 25 * 60, 49 * 60)


@pytest.fixture
def clock():
    return FakeClock(NOON + timedelta(days=3))


async def archive(folder: Path, clock: FakeClock) -> SqliteStore:
    store = SqliteStore(folder / "archive.db", clock=clock)
    for minute in HOURS:
        for series in (PRICE, VOLUME_RANK):
            await store.write(sample_snapshot(series, NOON + minute * MINUTE, 20))
    return store


async def backed_up(store: Store, folder: Path, clock: FakeClock) -> list[Day]:
    days = [day async for day in back_up(store, [PRICE, VOLUME_RANK], folder, clock=clock)]
    await store.close()
    return days


async def drill(fresh: Store, folder: Path, clock: FakeClock, days: list[Day]) -> None:
    restored = [day async for day in restore(folder, fresh, clock=clock)]
    assert sorted(restored, key=str) == sorted(days, key=str)
    again = [day async for day in back_up(fresh, [PRICE, VOLUME_RANK], folder / "again", clock=clock)]
    assert sorted(again, key=str) == sorted(days, key=str)
    assert sum(day.snapshots for day in again) == 2 * len(HOURS)


async def test_a_backup_of_sqlite_restores_everything(tmp_path, clock):
    days = await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    assert [day.snapshots for day in days if day.series == "price"] == [4, 2, 1]
    fresh = SqliteStore(tmp_path / "fresh.db", clock=clock)
    await drill(fresh, tmp_path / "backup", clock, days)
    await fresh.close()


@pytest.mark.influx
async def test_a_backup_is_restored_into_a_new_influxdb(tmp_path, clock, influx_bucket):
    days = await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    fresh = influx_bucket.store(clock)
    await drill(fresh, tmp_path / "backup", clock, days)
    await fresh.close()


@pytest.mark.influx
async def test_hours_that_outlived_their_minutes_are_backed_up_and_restored(tmp_path, clock, influx_bucket):
    clock.now = NOON + timedelta(days=200)
    fresh = influx_bucket.store(clock)
    await fresh.write(sample_snapshot(PRICE, NOON, 20))
    days = [day async for day in back_up(fresh, [PRICE], tmp_path / "backup", clock=clock)]
    assert [(day.snapshots, day.rows) for day in days] == [(1, 20)]
    other = SqliteStore(tmp_path / "other.db", clock=clock)
    assert [day async for day in restore(tmp_path / "backup", other, clock=clock)] == days
    for store in (fresh, other):
        await store.close()


async def test_a_damaged_file_is_named_and_the_rest_is_restored(tmp_path, clock):
    await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    file = next((tmp_path / "backup").glob("*/price-*"))
    file.write_bytes(file.read_bytes()[:-5])
    fresh = MemoryStore(clock)
    with pytest.raises(DamagedFile, match=f"1 files are damaged and were left out: {file}"):
        [day async for day in restore(tmp_path / "backup", fresh, clock=clock)]
    assert len(await fresh.markers(NOON, NOON + timedelta(days=3))) == 2 * len(HOURS) - 1


async def test_a_new_backup_replaces_a_damaged_file(tmp_path, clock):
    store = await archive(tmp_path, clock)
    days = [day async for day in back_up(store, [PRICE, VOLUME_RANK], tmp_path / "backup", clock=clock)]
    file = next((tmp_path / "backup").glob("*/price-*"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    assert await backed_up(store, tmp_path / "backup", clock) == days
    assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["lost+found", ".snapshot", "2026-08-01.old"])
async def test_other_folders_beside_the_days_are_passed_over(name, tmp_path, clock):
    days = await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    (tmp_path / "backup" / name).mkdir()
    assert len([day async for day in restore(tmp_path / "backup", MemoryStore(clock), clock=clock)]) == len(days)


async def test_a_store_that_loses_what_was_written_is_reported(tmp_path, clock):
    class Forgetful(MemoryStore):
        async def write(self, snapshot):
            if snapshot.tick != NOON:
                await super().write(snapshot)

    await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    with pytest.raises(
        StoreMalformed,
        match=r"4 price snapshots of 2026-08-01 with 80 rows.* were written, 3 price .* with 60 rows.* came back",
    ):
        [day async for day in restore(tmp_path / "backup", Forgetful(clock), clock=clock)]


async def test_an_interrupted_backup_is_continued_and_ends_the_same(tmp_path, clock):
    store = await archive(tmp_path, clock)
    days = [day async for day in back_up(store, [PRICE, VOLUME_RANK], tmp_path / "backup", clock=clock)]
    for file in list((tmp_path / "backup").glob("*/*"))[::2]:
        file.unlink()
    assert await backed_up(store, tmp_path / "backup", clock) == days


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
async def test_of_minutes_that_are_past_the_retention_by_now_the_first_of_each_hour_is_restored(
    kind, tmp_path, clock, request
):
    days = await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    # The retention ends within the second hour: after its first tick, before its second.
    retention = timedelta(days=90 if kind == "influx" else 30)
    clock.now = NOON + 60 * MINUTE + timedelta(seconds=30) + retention
    fresh = (
        request.getfixturevalue("influx_bucket").store(clock)
        if kind == "influx"
        else SqliteStore(tmp_path / "fresh.db", clock=clock)
    )
    restored = [day async for day in restore(tmp_path / "backup", fresh, clock=clock)]
    assert [(day.snapshots, day.passed) for day in restored if day.series == "price"] == [(3, 1), (2, 0), (1, 0)]
    assert {day for day in restored if not day.passed} <= set(days)
    await fresh.close()


async def test_a_folder_that_is_not_there_is_named(store, tmp_path):
    with pytest.raises(SettingsRejected, match="nowhere is not a backup made by topcoins"):
        [day async for day in restore(tmp_path / "nowhere", store, clock=clock)]


async def test_a_tick_of_the_future_is_not_restored(tmp_path, clock):
    await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    clock.now = NOON + 30 * MINUTE
    fresh = MemoryStore(clock)
    with pytest.raises(SettingsRejected, match=r"price-\d+\.snapshot: its tick 2026-08-01T13:00:00Z is in the future"):
        [day async for day in restore(tmp_path / "backup", fresh, clock=clock)]
    assert {tick for _, tick in fresh.snapshots} == {NOON, NOON + MINUTE}


async def test_a_backup_from_before_a_withdrawal_is_restored_into_the_same_store(tmp_path, clock):
    days = await backed_up(await archive(tmp_path, clock), tmp_path / "backup", clock)
    store = SqliteStore(tmp_path / "archive.db", clock=clock)
    await store.withdraw(PRICE.name, NOON, NOON, why="test")
    assert [day async for day in restore(tmp_path / "backup", store, clock=clock)] == sorted(
        days, key=lambda day: day.day
    )
    assert await store.ticks(PRICE.name, NOON, NOON) == []
    await store.close()


@pytest.mark.parametrize("name", ["../../../etc/x", "price; drop table price", "Price", ""])
async def test_a_file_with_an_invalid_series_name_is_left_out(name, tmp_path, clock):
    day = tmp_path / "backup" / "2026-08-01"
    day.mkdir(parents=True)
    (day / f"x{ENDING}").write_bytes(encode(sample_snapshot(Series(name, (), ("usd",)), NOON, 3)))
    with pytest.raises(DamagedFile, match="is no name of a series"):
        [day async for day in restore(tmp_path / "backup", MemoryStore(clock), clock=clock)]
