"""A closed day is sealed once and whole, whatever ends an attempt; what comes later is added."""

import asyncio
import hashlib
from datetime import timedelta

import polars as pl
import pytest

from lib.archive.manifest import newest_manifest, part_name
from lib.errors import StoreUnavailable
from lib.ingest.missed import MissedTick
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import content_hash
from tests.unit.archive.world import (
    BOTH,
    DAY,
    Interrupting,
    Killed,
    archived,
    filled,
    reading,
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
    assert manifest.names("price") == [part_name("price", DAY, 0), part_name("price", DAY, 1)]
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
