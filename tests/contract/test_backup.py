"""The drill: a backup of one store, restored into a new one, has the same counts and checksums of every day."""

import asyncio
import shutil
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from lib.archive.backup import UNSEALED, Day, back_up
from lib.archive.manifest import sealed_days
from lib.archive.objects.folder import Folder
from lib.archive.restore import restore
from lib.archive.seal import Sealer
from lib.archive.verify import verify
from lib.errors import SettingsRejected, StoreMalformed
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, DamagedFile, encode
from lib.store import Store
from lib.store.sqlite import SqliteStore
from tests.contract.snapshots import CAP, many
from tests.fakes import NOON, FakeClock, MemoryStore
from tests.sample import sample_snapshot

MINUTE = timedelta(minutes=1)
FILE = "filled.db"
BACKUPS = {True: "of both", False: "of the store"}
HOURS = (0, 1, 60, 61, 13 * 60, 25 * 60, 49 * 60)
FIRST = NOON.date()
BOTH = (PRICE, VOLUME_RANK)


@pytest.fixture
def clock():
    return FakeClock(NOON + timedelta(days=3))


@dataclass(frozen=True)
class Made:
    """A store, the archive of its closed days, and backups of the store with and without it, to start tests from.

    A copy takes a tenth of the CPU.
    """

    folder: Path
    days: dict[bool, list[Day]]

    def store(self, folder: Path, clock: FakeClock) -> SqliteStore:
        shutil.copy(self.folder / FILE, folder)
        return SqliteStore(folder / FILE, clock=clock)

    def archive(self, folder: Path) -> Folder:
        return Folder(shutil.copytree(self.folder / "archive", folder / "archive"))

    def backup(self, folder: Path, *, sealed_first: bool) -> list[Day]:
        shutil.copytree(self.folder / BACKUPS[sealed_first], folder / "backup")
        return self.days[sealed_first]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder, clock = tmp_path_factory.mktemp("made"), FakeClock(NOON + timedelta(days=3))

    async def make() -> dict[bool, list[Day]]:
        store = SqliteStore(folder / FILE, clock=clock)
        for minute in HOURS:
            for series in BOTH:
                await store.write(sample_snapshot(series, NOON + minute * MINUTE, 20))
        archives = {True: await sealed(store, folder / "archive", clock), False: None}
        days = {
            first: await backed_up(store, folder / BACKUPS[first], clock, archive)
            for first, archive in archives.items()
        }
        await store.close()
        return days

    return Made(folder, asyncio.run(make()))


async def sealed(store: Store, folder: Path, clock: FakeClock) -> Folder:
    """An archive with the days that are over."""
    archive = Folder(folder)
    for day in range(3):
        await Sealer(store, archive, BOTH, clock=clock).seal(FIRST + timedelta(days=day))
    return archive


async def backed_up(store: Store, folder: Path, clock: FakeClock, archive: Folder | None = None) -> list[Day]:
    return [day async for day in back_up(store, archive, folder, BOTH, clock=clock)]


async def restored(folder: Path, store: Store, clock: FakeClock, archive: Folder | None = None) -> list[Day]:
    return [day async for day in restore(folder, store, archive, clock=clock)]


async def drill(fresh: Store, folder: Path, clock: FakeClock, days: list[Day]) -> None:
    assert sorted(await restored(folder, fresh, clock), key=str) == sorted(days, key=str)
    again = await backed_up(fresh, folder / "again", clock)
    assert sorted(again, key=str) == sorted(days, key=str)
    assert sum(day.snapshots for day in again) == 2 * len(HOURS)


async def test_a_backup_of_sqlite_restores_everything(made, tmp_path, clock):
    days = made.backup(tmp_path, sealed_first=False)
    assert [day.snapshots for day in days if day.series == "price"] == [4, 2, 1]
    fresh = SqliteStore(tmp_path / "fresh.db", clock=clock)
    await drill(fresh, tmp_path / "backup", clock, days)
    await fresh.close()


@pytest.mark.influx
async def test_a_backup_is_restored_into_a_new_influxdb(made, tmp_path, clock, influx_bucket):
    days = made.backup(tmp_path, sealed_first=False)
    fresh = influx_bucket.store(clock)
    await drill(fresh, tmp_path / "backup", clock, days)
    await fresh.close()


@pytest.mark.influx
async def test_hours_that_outlived_their_minutes_are_backed_up_and_restored(tmp_path, clock, influx_bucket):
    clock.now = NOON + timedelta(days=92)  # two more than minutes are stored
    fresh = influx_bucket.store(clock)
    await fresh.write(sample_snapshot(PRICE, NOON, 20))
    days = await backed_up(fresh, tmp_path / "backup", clock)
    assert [(day.snapshots, day.rows) for day in days] == [(1, 20)]
    other = SqliteStore(tmp_path / "other.db", clock=clock)
    assert await restored(tmp_path / "backup", other, clock) == days
    for store in (fresh, other):
        await store.close()


async def test_a_backup_has_the_archives_own_files_and_the_open_day_apart(made, tmp_path, clock):
    clock.now = NOON + timedelta(days=3)
    store = made.store(tmp_path, clock)
    await store.write(sample_snapshot(PRICE, clock.now - MINUTE, 20))
    archive = made.archive(tmp_path)
    days = await backed_up(store, tmp_path / "backup", clock, archive)
    copy, unsealed = Folder(tmp_path / "backup"), Folder(tmp_path / "backup" / UNSEALED)
    assert [*await sealed_days(copy)] == [FIRST + timedelta(days=n) for n in range(3)]
    assert [*await sealed_days(unsealed)] == [clock.now.date()]
    for name in await archive.names("price"):
        assert await copy.read(name) == await archive.read(name)
        assert not (tmp_path / "backup" / name).samefile(tmp_path / "archive" / name)
    fresh, elsewhere = MemoryStore(clock), Folder(tmp_path / "elsewhere")
    assert sorted(await restored(tmp_path / "backup", fresh, clock, elsewhere), key=str) == sorted(days, key=str)
    assert len(fresh.snapshots) == 2 * len(HOURS) + 1
    assert [*await sealed_days(elsewhere)] == [*await sealed_days(copy)]
    assert [each.faults async for each in verify(elsewhere, BOTH)] == [[], [], []]
    await store.close()


async def test_the_next_seal_replaces_the_open_day(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = Folder(tmp_path / "archive")
    before = await backed_up(store, tmp_path / "backup", clock, archive)
    assert len(await sealed_days(Folder(tmp_path / "backup" / UNSEALED))) == 4
    await sealed(store, tmp_path / "archive", clock)
    assert await backed_up(store, tmp_path / "backup", clock, archive) == before
    assert [*await sealed_days(Folder(tmp_path / "backup" / UNSEALED))] == [clock.now.date()]
    assert not list((tmp_path / "backup" / UNSEALED / "price").rglob("*.parquet"))
    await store.close()


async def test_what_the_archive_lacks_of_a_sealed_day_is_in_the_backup(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = made.archive(tmp_path)
    await store.write(sample_snapshot(PRICE, NOON + 7 * MINUTE, 20))
    await backed_up(store, tmp_path / "backup", clock, archive)
    fresh = MemoryStore(clock)
    await restored(tmp_path / "backup", fresh, clock)
    assert ("price", NOON + 7 * MINUTE) in fresh.snapshots
    await store.close()


async def test_a_later_backup_adds_what_is_new(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    made.backup(tmp_path, sealed_first=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").rglob("*.parquet")}
    await store.write(sample_snapshot(PRICE, NOON + 50 * 60 * MINUTE, 20))
    days = await backed_up(store, tmp_path / "backup", clock)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    fresh = MemoryStore(clock)
    assert sorted(await restored(tmp_path / "backup", fresh, clock), key=str) == sorted(days, key=str)
    assert ("price", NOON + 50 * 60 * MINUTE) in fresh.snapshots
    await store.close()


@pytest.mark.parametrize("sealed_first", [True, False])
async def test_a_damaged_part_is_named_and_the_rest_is_restored(sealed_first, made, tmp_path, clock):
    made.backup(tmp_path, sealed_first=sealed_first)
    file = part(tmp_path / "backup" / ("" if sealed_first else UNSEALED))
    file.write_bytes(file.read_bytes()[:-5])
    fresh = MemoryStore(clock)
    with pytest.raises(DamagedFile, match=f"1 files are damaged and were left out: {file}: it"):
        await restored(tmp_path / "backup", fresh, clock)
    assert len(fresh.snapshots) == 2 * len(HOURS) - 4


@pytest.mark.parametrize("name", [f"price/date={FIRST}/part-0.parquet", f"_manifest/date={FIRST}/0000.json"])
async def test_a_damaged_day_of_a_backup_is_not_copied_into_the_archive_and_stops_no_other(name, made, tmp_path, clock):
    made.backup(tmp_path, sealed_first=True)
    (tmp_path / "backup" / name).write_bytes(b"{")
    elsewhere = Folder(tmp_path / "elsewhere")
    with pytest.raises(DamagedFile, match=str(FIRST)):
        await restored(tmp_path / "backup", MemoryStore(clock), clock, elsewhere)
    assert [*await sealed_days(elsewhere)] == [FIRST + timedelta(days=n) for n in (1, 2)]


async def test_a_damaged_manifest_of_the_archive_is_named_and_the_store_has_its_day(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = made.archive(tmp_path)
    (tmp_path / "archive" / "_manifest" / f"date={FIRST}" / "0000.json").write_bytes(b"{")
    with pytest.raises(DamagedFile, match=r"0000\.json is damaged"):
        await backed_up(store, tmp_path / "backup", clock, archive)
    fresh = MemoryStore(clock)
    await restored(tmp_path / "backup", fresh, clock)
    assert len(fresh.snapshots) == 2 * len(HOURS)
    await store.close()


def part(archive: Path) -> Path:
    """The price part of the first day."""
    return archive / "price" / f"date={FIRST}" / "part-0.parquet"


@pytest.mark.parametrize("sealed_first", [True, False])
@pytest.mark.parametrize("name", [f"price/date={FIRST}/part-0.parquet", f"_manifest/date={FIRST}/0000.json"])
async def test_a_new_backup_replaces_a_damaged_file(name, sealed_first, made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = made.archive(tmp_path) if sealed_first else None
    days = made.backup(tmp_path, sealed_first=sealed_first)
    file = tmp_path / "backup" / ("" if sealed_first else UNSEALED) / name
    file.write_bytes(file.read_bytes()[:-5])
    assert await backed_up(store, tmp_path / "backup", clock, archive) == days
    assert [day.faults async for day in verify(Folder(file.parents[2]), BOTH)] == [[]] * (3 if sealed_first else 4)
    await store.close()


async def test_a_part_that_rots_in_the_archive_does_not_reach_the_backup(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = made.archive(tmp_path)
    made.backup(tmp_path, sealed_first=True)
    rotted = part(tmp_path / "archive")
    whole = rotted.read_bytes()
    rotted.write_bytes(whole[:-5])
    await backed_up(store, tmp_path / "backup", clock, archive)
    assert part(tmp_path / "backup").read_bytes() == whole
    with pytest.raises(
        DamagedFile, match=f"1 files are damaged and were left out: {tmp_path / 'archive'}: price/date="
    ):
        await backed_up(store, tmp_path / "new", clock, archive)
    assert len(await sealed_days(Folder(tmp_path / "new"))) == 3
    await store.close()


async def test_a_backup_with_more_of_a_day_than_the_archive_is_not_overwritten(made, tmp_path, clock):
    archive = made.archive(tmp_path)
    made.backup(tmp_path, sealed_first=True)
    before = part(tmp_path / "backup").read_bytes()
    shutil.rmtree(tmp_path / "archive")
    other = MemoryStore(clock)
    await other.write(sample_snapshot(PRICE, NOON, 20))
    await sealed(other, tmp_path / "archive", clock)
    with pytest.raises(SettingsRejected, match=f"has snapshots of {FIRST} that .* lacks; choose another folder"):
        await backed_up(other, tmp_path / "backup", clock, archive)
    assert part(tmp_path / "backup").read_bytes() == before


async def test_a_store_that_loses_what_was_written_is_reported(made, tmp_path, clock):
    class Forgetful(MemoryStore):
        async def write(self, snapshot):
            if snapshot.tick != NOON:
                await super().write(snapshot)

    made.backup(tmp_path, sealed_first=False)
    with pytest.raises(
        StoreMalformed,
        match=r"4 price snapshots of 2026-08-01 with 80 rows.* were written, 3 price .* with 60 rows.* came back",
    ):
        await restored(tmp_path / "backup", Forgetful(clock), clock)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
async def test_of_minutes_that_are_past_the_retention_by_now_the_first_of_each_hour_is_restored(
    kind, made, tmp_path, clock, request
):
    store = made.store(tmp_path, clock)
    days = made.backup(tmp_path, sealed_first=False)
    # The retention ends within the second hour: after its first tick, before its second.
    retention = timedelta(days=90 if kind == "influx" else 30)
    clock.now = NOON + 60 * MINUTE + timedelta(seconds=30) + retention
    fresh = (
        request.getfixturevalue("influx_bucket").store(clock)
        if kind == "influx"
        else SqliteStore(tmp_path / "fresh.db", clock=clock)
    )
    again = await restored(tmp_path / "backup", fresh, clock)
    assert [(day.snapshots, day.passed) for day in again if day.series == "price"] == [(3, 1), (2, 0), (1, 0)]
    assert {day for day in again if not day.passed} <= set(days)
    for each in (store, fresh):
        await each.close()


async def test_a_folder_that_is_not_there_is_named(tmp_path, clock):
    with pytest.raises(SettingsRejected, match="nowhere is not a backup made by topcoins"):
        await restored(tmp_path / "nowhere", MemoryStore(clock), clock)


async def test_a_tick_of_the_future_is_not_restored(made, tmp_path, clock):
    made.backup(tmp_path, sealed_first=False)
    clock.now = NOON + 30 * MINUTE
    fresh = MemoryStore(clock)
    with pytest.raises(SettingsRejected, match=r"part-0.parquet: its tick 2026-08-01T13:00:00Z is in the future"):
        await restored(tmp_path / "backup", fresh, clock, Folder(tmp_path / "archive"))
    assert {tick for _, tick in fresh.snapshots} == {NOON, NOON + MINUTE}
    assert not (tmp_path / "archive").exists()


async def test_a_backup_from_before_a_withdrawal_is_restored_into_the_same_store(made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    days = made.backup(tmp_path, sealed_first=False)
    await store.withdraw(PRICE.name, NOON, NOON, why="test")
    assert sorted(await restored(tmp_path / "backup", store, clock), key=str) == sorted(days, key=str)
    assert await store.ticks(PRICE.name, NOON, NOON) == []
    await store.close()


@pytest.mark.parametrize("sealed_first", [True, False])
async def test_a_withdrawal_and_its_undoing_are_restored(sealed_first, made, tmp_path, clock):
    store = made.store(tmp_path, clock)
    archive = made.archive(tmp_path) if sealed_first else None
    made.backup(tmp_path, sealed_first=sealed_first)
    await store.withdraw(PRICE.name, NOON, NOON + MINUTE, why="test")
    clock.move(minutes=1)
    await store.undo_withdrawal(PRICE.name, NOON, NOON)
    await backed_up(store, tmp_path / "backup", clock, archive)
    fresh = SqliteStore(tmp_path / "fresh.db", clock=clock)
    await restored(tmp_path / "backup", fresh, clock)
    span = NOON, NOON + MINUTE
    assert await fresh.markers(*span) == await store.markers(*span)
    for each in (store, fresh):
        await each.close()


async def test_a_series_that_no_setting_names_is_restored_with_its_columns(tmp_path, clock):
    store, fresh, series = MemoryStore(clock), MemoryStore(clock), [*BOTH, CAP]
    written = many(CAP, 3, NOON)
    await store.write(written)
    days = [day async for day in back_up(store, None, tmp_path / "backup", series, clock=clock)]
    assert await restored(tmp_path / "backup", fresh, clock) == days
    assert (await fresh.rows(CAP, NOON)).equals(written.rows)


@pytest.mark.parametrize("name", ["price; drop table price", "Price"])
async def test_a_part_with_an_invalid_field_is_left_out(name, tmp_path, clock):
    store = MemoryStore(clock)
    series = Series("other", (), (name,))
    rows = pl.DataFrame({"cmc_id": [1], "tier": [0], name: [1.0]}, schema=series.columns)
    await store.write(Snapshot(series, many(CAP, 1, NOON, hash="").marker, rows))
    marker = many(Series("other", (), ("usd",)), 1, NOON, hash="").marker
    store.snapshots = {("other", NOON): Snapshot(series, marker, rows)}
    assert [day async for day in back_up(store, None, tmp_path / "backup", [series], clock=clock)]
    with pytest.raises(DamagedFile, match="is no name of a series"):
        await restored(tmp_path / "backup", MemoryStore(clock), clock)


def old_backup(folder: Path) -> list[Snapshot]:
    """A backup as versions before 0.2 wrote it."""
    fetched = [sample_snapshot(series, NOON + n * MINUTE, 20) for series in BOTH for n in range(2)]
    snapshots = [replace(each, marker=each.marker.with_stored_at(each.tick)) for each in fetched]
    day = folder / str(FIRST)
    day.mkdir(parents=True)
    for each in snapshots:
        (day / f"{each.series.name}-{int(each.tick.timestamp())}{ENDING}").write_bytes(encode(each))
    return snapshots


@pytest.mark.parametrize("name", ["lost+found", ".snapshot", "2026-08-01.old"])
async def test_other_folders_beside_the_days_of_an_old_backup_are_passed_over(name, tmp_path, clock):
    old_backup(tmp_path / "backup")
    (tmp_path / "backup" / name).mkdir()
    assert [day.snapshots for day in await restored(tmp_path / "backup", MemoryStore(clock), clock)] == [2, 2]


async def test_a_damaged_file_of_an_old_backup_is_named_and_the_rest_is_restored(tmp_path, clock):
    old_backup(tmp_path / "backup")
    file = next((tmp_path / "backup").glob("*/price-*"))
    file.write_bytes(file.read_bytes()[:-5])
    fresh = MemoryStore(clock)
    with pytest.raises(DamagedFile, match=f"1 files are damaged and were left out: {file}"):
        await restored(tmp_path / "backup", fresh, clock)
    assert len(fresh.snapshots) == 3


@pytest.mark.parametrize("name", ["../../../etc/x", "price; drop table price", "Price", ""])
async def test_a_file_of_an_old_backup_with_an_invalid_series_name_is_left_out(name, tmp_path, clock):
    day = tmp_path / "backup" / "2026-08-01"
    day.mkdir(parents=True)
    (day / f"x{ENDING}").write_bytes(encode(sample_snapshot(Series(name, (), ("usd",)), NOON, 3)))
    with pytest.raises(DamagedFile, match="is no name of a series"):
        await restored(tmp_path / "backup", MemoryStore(clock), clock)
