"""The archiver seals what is closed, adds what is late, and says when it cannot."""

from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from lib.archive.archiver import LATE, Archiver, read_progress
from lib.archive.manifest import part_name, sealed_days, start_of
from lib.archive.objects.folder import Folder
from lib.archive.tables import GAP_COLUMNS
from lib.clock import DAY as A_DAY
from lib.errors import StoreMalformed, StoreUnavailable
from lib.ingest.missed import MissedTick, MissedTicks
from lib.schema import PRICE
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import BOTH, DAY, archived, filled, manifest_of, names_of, reading, stored, ticks_of


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "archive")


def archiver(store: MemoryStore, folder: Folder, clock: FakeClock, spools: Path) -> Archiver:
    return Archiver(store, folder, BOTH, clock=clock, spools=spools)


async def test_a_day_is_sealed_five_minutes_after_its_end_and_not_before(folder, clock, tmp_path):
    store = filled(clock, DAY)
    keeper = archiver(store, folder, clock, tmp_path)
    clock.now = start_of(DAY) + A_DAY + timedelta(minutes=4)
    assert await keeper.catch_up() == []
    clock.move(minutes=1)
    assert await keeper.catch_up() == [DAY]
    assert await keeper.catch_up() == []
    assert await archived(folder) == await stored(store)


async def test_every_day_since_the_first_snapshot_is_sealed_also_one_without_any(folder, clock, tmp_path):
    store = filled(clock, DAY - 3 * A_DAY, DAY - A_DAY)
    assert await archiver(store, folder, clock, tmp_path).catch_up() == [DAY - n * A_DAY for n in (3, 2, 1, 0)]
    assert await archived(folder, DAY - A_DAY) == await stored(store, DAY - A_DAY)
    assert {part.table: part.rows > 0 for part in (await manifest_of(folder)).parts} == {
        "withdrawal": False,
        "gap": True,
    }


async def test_a_damaged_part_that_no_manifest_names_stops_its_own_day_alone(folder, clock, tmp_path):
    before = DAY - A_DAY
    await folder.create(name := part_name(PRICE.name, before, 0), b"no Parquet")
    keeper = archiver(filled(clock, before, DAY), folder, clock, tmp_path)
    with pytest.raises(StoreMalformed, match=f"{name} is damaged, and no manifest names it: delete it"):
        await keeper.catch_up()
    assert [*await sealed_days(folder)] == [DAY]
    await folder.delete(name)
    assert await keeper.catch_up() == [before]


async def test_the_day_that_runs_is_not_sealed(folder, clock, tmp_path):
    store = filled(clock, DAY, DAY + A_DAY)
    assert await archiver(store, folder, clock, tmp_path).catch_up() == [DAY]


async def test_a_late_snapshot_of_a_sealed_day_is_added_with_the_next_run(folder, clock, tmp_path):
    store = filled(clock, DAY, skip=1)
    keeper = archiver(store, folder, clock, tmp_path)
    await keeper.catch_up()
    await store.write(reading(PRICE, ticks_of(DAY)[-1], backfilled=True))
    await keeper.catch_up()
    assert await archived(folder) == await stored(store)


async def test_a_late_snapshot_of_a_day_past_the_horizon_is_added_within_a_day(folder, clock, tmp_path):
    store = filled(clock, DAY, skip=1)
    keeper = archiver(store, folder, clock, tmp_path)
    await keeper.catch_up()
    clock.move(days=40)
    await keeper.catch_up()
    store.snapshots["price", ticks_of(DAY)[-1]] = reading(PRICE, ticks_of(DAY)[-1], backfilled=True)
    await keeper.catch_up()
    assert len(await archived(folder)) == 46
    clock.move(days=1)
    await keeper.catch_up()
    assert len(await archived(folder)) == 47


async def test_the_causes_come_from_the_spools(folder, clock, tmp_path):
    store = filled(clock, DAY, skip=1)
    last = ticks_of(DAY)[-1]
    (tmp_path / "price").mkdir()
    MissedTicks(tmp_path / "price").record(MissedTick(last, "source away", "no route", timedelta(hours=1)))
    await archiver(store, folder, clock, tmp_path).catch_up()
    manifest = await manifest_of(folder)
    gaps = folder.scan(names_of(manifest, "gap"), GAP_COLUMNS).collect()
    assert gaps.select("series", "tick", "cause", "why").rows() == [
        ("price", last, "source away", "no route"),
        ("volume_rank", last, "not running", None),
    ]


async def test_an_outage_is_logged_when_it_starts_and_when_it_ends(folder, clock, tmp_path):
    store = filled(clock, DAY)
    keeper = archiver(store, folder, clock, tmp_path)
    store.failure = StoreUnavailable("store: away")
    with structlog.testing.capture_logs() as events:
        for _ in range(3):
            await keeper.run(clock())
        store.failure = None
        await keeper.run(clock())
    assert [event["event"] for event in events if event["event"] != "day sealed"] == [
        "the archive can't be brought up to date",
        "the archive is up to date again",
    ]
    assert events[-1]["failed_runs"] == 3


async def test_a_closed_day_that_waits_for_hours_is_late(folder, clock, tmp_path):
    store = filled(clock, DAY)
    progress = await read_progress(store, folder, BOTH, clock())
    assert list(progress.unsealed) == [DAY]
    end = start_of(DAY) + A_DAY
    assert not progress.is_late(end + LATE - timedelta(seconds=1))
    assert progress.is_late(end + LATE)
    await archiver(store, folder, clock, tmp_path).catch_up()
    progress = await read_progress(store, folder, BOTH, clock())
    assert (progress.newest, list(progress.unsealed)) == (DAY, [])
