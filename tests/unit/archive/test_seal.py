"""A closed day is sealed once and whole, whatever ends an attempt; what comes later is added."""

import asyncio
import hashlib
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lib.archive.manifest import manifest_name, newest_manifest, part_name, sealed_days
from lib.archive.objects import TEMPORARY
from lib.archive.objects.folder import Folder
from lib.archive.seal import Sealer
from lib.errors import StoreMalformed, StoreUnavailable
from lib.ingest.missed import MissedTick
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker, content_hash
from lib.store.sqlite import SqliteStore
from tests.unit.archive.world import (
    BOTH,
    DAY,
    FullDisk,
    Interrupting,
    Killed,
    archived,
    filled,
    names_of,
    reading,
    rot,
    sealer,
    stored,
    ticks_of,
)

pytestmark = pytest.mark.asyncio


async def test_a_sealed_day_has_the_markers_and_the_rows_of_the_store(objects, clock, tmp_path):
    store = filled(clock, DAY)
    manifest = await sealer(store, objects, clock).seal(DAY)
    assert await archived(objects) == await stored(store)
    for series in BOTH:
        path = await objects.local(part_name(series.name, DAY, 0), tmp_path)
        rows = pl.read_parquet(path, hive_partitioning=False)
        for marker in [marker for marker in await stored(store) if marker.series == series.name]:
            own = rows.filter(pl.col("tick") == marker.tick).drop("tick").sort("cmc_id")
            assert content_hash(series.name, marker.source, marker.tick, own) == marker.hash
        assert [each.hash for each in manifest.snapshots[series.name]] == [
            marker.hash for marker in await stored(store) if marker.series == series.name
        ]


async def test_the_manifest_has_the_size_and_the_digest_of_each_part(objects, clock):
    manifest = await sealer(filled(clock, DAY), objects, clock).seal(DAY)
    assert {part.table: part.rows for part in manifest.parts} == {
        "price": 72,
        "volume_rank": 72,
        "hourly/price": 72,
        "hourly/volume_rank": 72,
        "snapshot": 48,
        "withdrawal": 0,
        "gap": 0,
    }
    for part in manifest.parts:
        body = await objects.read(part.name)
        assert (part.bytes, part.sha256) == (len(body), hashlib.sha256(body).hexdigest())


async def test_a_part_is_sorted_by_tick_then_rank(objects, clock, tmp_path):
    await sealer(filled(clock, DAY), objects, clock).seal(DAY)
    rows = pl.read_parquet(await objects.local(part_name("volume_rank", DAY, 0), tmp_path))
    assert rows.select("tick", "rank").equals(rows.select("tick", "rank").sort("tick", "rank"))


async def test_sealing_again_changes_nothing(objects, clock):
    store = filled(clock, DAY)
    first = await sealer(store, objects, clock).seal(DAY)
    names = await objects.names("price")
    clock.move(days=1)
    assert await sealer(store, objects, clock).seal(DAY) == first
    assert await objects.names("price") == names


async def test_a_late_snapshot_is_added_as_a_part_of_its_own(objects, clock):
    store = filled(clock, DAY, skip=1)
    await sealer(store, objects, clock).seal(DAY)
    late = ticks_of(DAY)[-1]
    await store.write(reading(PRICE, late, backfilled=True))
    manifest = await sealer(store, objects, clock).seal(DAY)
    assert manifest.number == 1
    assert names_of(manifest, "price") == [part_name("price", DAY, 0), part_name("price", DAY, 1)]
    assert [each.part for each in manifest.snapshots["price"]] == [0] * 23 + [1]
    assert await archived(objects) == await stored(store)


async def test_a_withdrawal_after_the_seal_and_its_undoing_are_added(objects, clock):
    store = filled(clock, DAY)
    await sealer(store, objects, clock).seal(DAY)
    tick = ticks_of(DAY)[5]
    for change in ("withdraw", "undo", "withdraw"):
        clock.move(minutes=1)
        if change == "withdraw":
            await store.withdraw("price", tick, tick, why="prices of another coin")
        else:
            await store.undo_withdrawal("price", tick, tick)
        await sealer(store, objects, clock).seal(DAY)
        assert await archived(objects) == await stored(store)
    assert len(await objects.names(f"withdrawal/date={DAY}")) == 1 + 3


async def test_the_gaps_of_a_day_are_sealed_with_their_causes(objects, clock):
    store = filled(clock, DAY, skip=1)
    miss = MissedTick(ticks_of(DAY)[-1], "source away", "no route", timedelta(hours=1))
    await sealer(store, objects, clock).seal(DAY, [("price", miss)])
    frame = pl.read_parquet(await objects.read(part_name("gap", DAY, 0)))
    assert frame.to_dicts() == [
        {"series": "price", "tick": miss.tick, "cause": "source away", "why": "no route", "interval_s": 3600.0}
    ]


async def test_a_day_without_snapshots_is_sealed_empty(objects, clock):
    manifest = await sealer(filled(clock), objects, clock).seal(DAY)
    assert {part.table: part.rows for part in manifest.parts} == {"withdrawal": 0, "gap": 0}
    assert await newest_manifest(objects, DAY) == manifest


async def test_a_snapshot_with_missing_rows_does_not_stop_the_rest_of_its_day(objects, clock):
    store = filled(clock, DAY)
    broken = ("price", ticks_of(DAY)[3])
    whole = store.snapshots[broken]
    store.snapshots[broken] = type(whole)(whole.series, whole.marker, whole.rows.head(1))
    manifest = await sealer(store, objects, clock).seal(DAY)
    assert len(manifest.snapshots["price"].ticks) == 23
    assert len(manifest.snapshots["volume_rank"].ticks) == 24


STEPS = 23
"""Before and after each of seven parts and a manifest is stored, and before each part is read back."""
FEW = 18
"""So many ticks the day lacks: six of each series are enough."""


@pytest.mark.parametrize("objects", ["folder"], indirect=True)  # the steps lie between its calls: one kind is enough
@pytest.mark.parametrize("step", range(STEPS))
async def test_an_attempt_that_is_killed_at_any_step_shows_nothing_and_the_next_one_seals_all(objects, clock, step):
    store = filled(clock, DAY, skip=FEW)

    def kill(at: int) -> None:
        if at == step:
            raise Killed

    with pytest.raises(Killed):
        await sealer(store, Interrupting(objects, kill), clock).seal(DAY)
    assert await archived(objects) == (await stored(store) if step == STEPS - 1 else [])
    await store.write(reading(VOLUME_RANK, ticks_of(DAY)[-1]))  # between the attempts
    await sealer(store, objects, clock).seal(DAY)
    assert await archived(objects) == await stored(store)


@pytest.mark.parametrize("objects", ["memory"], indirect=True)
@pytest.mark.parametrize("step", range(STEPS))
async def test_an_object_store_that_goes_away_at_any_step_loses_nothing(objects, clock, step):
    store = filled(clock, DAY, skip=FEW)

    def away(at: int) -> None:
        if at == step:
            raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable, match="away"):
        await sealer(store, Interrupting(objects, away), clock).seal(DAY)
    await sealer(store, objects, clock).seal(DAY)
    assert await archived(objects) == await stored(store)


async def test_two_sealers_at_once_seal_a_day_once(objects, clock):
    store = filled(clock, DAY)
    manifests = await asyncio.gather(*(sealer(store, objects, clock).seal(DAY) for _ in range(3)))
    assert manifests[0] == manifests[1] == manifests[2]
    assert await archived(objects) == await stored(store)
    assert len(await objects.names("_manifest")) == 1


TABLES = ("price", "hourly/price", "snapshot", "withdrawal", "gap")


@pytest.mark.parametrize("table", TABLES)
async def test_a_disk_that_is_full_in_the_middle_of_a_part_shows_nothing_and_the_next_attempt_seals_all(
    clock, table, tmp_path
):
    store = filled(clock, DAY, skip=FEW)
    with pytest.raises(StoreUnavailable, match=r"parquet can't be written: .*No space left"):
        await sealer(store, FullDisk(tmp_path, table), clock).seal(DAY)
    folder = Folder(tmp_path)
    assert await archived(folder) == []
    assert await folder.names(TEMPORARY) == []
    await sealer(store, folder, clock).seal(DAY)
    assert await archived(folder) == await stored(store)


@pytest.mark.parametrize("table", TABLES)
async def test_a_rotted_part_of_a_killed_attempt_is_named_and_nothing_of_it_is_sealed(clock, table, tmp_path):
    store, folder = filled(clock, DAY, skip=FEW), Folder(tmp_path)
    miss = MissedTick(ticks_of(DAY)[-1], "source away", "no route", timedelta(hours=1))
    await store.withdraw("price", ticks_of(DAY)[0], ticks_of(DAY)[0], why="prices of another coin")
    await sealer(store, folder, clock).seal(DAY, [("price", miss)])
    (tmp_path / manifest_name(DAY, 0)).unlink()
    rot(tmp_path / part_name(table, DAY, 0))
    with pytest.raises(StoreMalformed, match=f"{part_name(table, DAY, 0)} is damaged, and no manifest names it"):
        await sealer(store, folder, clock).seal(DAY)
    assert await archived(folder) == []
    await folder.delete(part_name(table, DAY, 0))
    await sealer(store, folder, clock).seal(DAY)
    assert await archived(folder) == await stored(store)


async def test_a_tick_that_comes_between_two_sealers_at_once_is_in_one_part(clock, tmp_path):
    store, late = filled(clock, DAY, skip=FEW), ticks_of(DAY)[-1]

    class Overtaken(Folder):
        """Before it stores ranks, both series get a tick, and another sealer, which then ends, stores its ranks."""

        async def create(self, name: str, content: bytes | Path) -> bool:
            if name == part_name("volume_rank", DAY, 0) and len(store.snapshots) == 2 * len(ticks_of(DAY)[:-FEW]):
                for series in BOTH:
                    await store.write(reading(series, late))
                with suppress(Killed):
                    await sealer(store, Interrupting(Folder(tmp_path), killed_after_ranks), clock).seal(DAY)
            return await super().create(name, content)

    def killed_after_ranks(step: int) -> None:
        if (tmp_path / part_name("volume_rank", DAY, 0)).exists():
            raise Killed

    await sealer(store, Overtaken(tmp_path), clock).seal(DAY)
    assert await archived(Folder(tmp_path)) == await stored(store)


async def test_a_sealed_day_is_looked_at_without_its_markers(clock, tmp_path):
    class Noting(SqliteStore):
        async def markers(self, *asked: Any, **more: Any) -> list[Marker]:
            asked_for.append(asked)
            return await super().markers(*asked, **more)

    asked_for: list[Any] = []
    store = Noting(tmp_path / "topcoins.db", clock=clock, durable=False)
    await store.write(reading(PRICE, ticks_of(DAY)[0]))
    for _ in range(3):
        await Sealer(store, Folder(tmp_path / "archive"), BOTH, clock=clock).seal(DAY)
    assert len(asked_for) == 1
    await store.close()


@pytest.mark.parametrize("table", ["snapshot", "hourly/price", "price"])
async def test_a_part_of_a_killed_attempt_with_other_values_is_named(clock, table, tmp_path):
    store, folder = filled(clock, DAY, skip=FEW), Folder(tmp_path)
    await sealer(store, folder, clock).seal(DAY)
    (tmp_path / manifest_name(DAY, 0)).unlink()
    changed = pl.col("duration_s" if table == "snapshot" else "usd") + 1.0
    rows = pl.read_parquet(part := tmp_path / part_name(table, DAY, 0), hive_partitioning=False).with_columns(changed)
    part.unlink()
    rows.write_parquet(part)
    with pytest.raises(StoreMalformed, match=f"{part_name(table, DAY, 0)} is damaged, and no manifest names it"):
        await sealer(store, folder, clock).seal(DAY)


async def test_a_withdrawal_that_was_undone_before_the_next_look_is_added(objects, clock):
    store, tick = filled(clock, DAY), ticks_of(DAY)[5]
    await sealer(store, objects, clock).seal(DAY)
    await store.withdraw("price", tick, tick, why="a mistake")
    clock.move(minutes=1)
    await store.undo_withdrawal("price", tick, tick)
    await sealer(store, objects, clock).seal(DAY)
    assert [m.restored_at for m in await archived(objects) if (m.series, m.tick) == ("price", tick)] == [clock()]


async def test_files_of_others_among_the_manifests_are_passed_over(clock, tmp_path):
    store, folder = filled(clock, DAY), Folder(tmp_path)
    await sealer(store, folder, clock).seal(DAY)
    for name in (".DS_Store", f"date={DAY}/Thumbs.db", f"date={DAY}/0000.json.part", "lost+found/x/y"):
        (tmp_path / "_manifest" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_manifest" / name).write_bytes(b"")
    assert await sealed_days(folder) == {DAY: 0}
    assert await archived(folder) == await stored(store)
