"""With an archive, the embedded store deletes a minute only once it is sealed with the same content."""

from datetime import datetime, timedelta

import pytest

from lib.archive.archiver import Archiver
from lib.archive.objects.folder import Folder
from lib.clock import DAY, HOUR
from lib.schema import PRICE, VOLUME_RANK
from lib.store.sqlite import SqliteStore
from tests.contract.snapshots import MINUTE, snapshot
from tests.fakes import NOON, FakeClock

TICKS = [NOON + n * MINUTE for n in (0, 10, 20, 60, 70)]
FIRSTS = [TICKS[0], TICKS[3]]
"""Of their hours: they stay for ever."""


@pytest.fixture
async def store(tmp_path):
    store = SqliteStore(
        tmp_path / "topcoins.db", clock=FakeClock(NOON + 4 * DAY), keep_sealed=3 * DAY, confirmed_by=0, durable=False
    )
    for tick in (*TICKS, *(NOON + n * DAY for n in (1, 2, 3))):  # a hole of more than a day would not count
        await store.write(snapshot(PRICE, tick, [{"usd": 1.0}]))
    yield store
    await store.close()


async def ticks_after_a_write(store: SqliteStore, hours: int) -> list[object]:
    """What is left of the old ticks when a new one is written."""
    await store.write(snapshot(PRICE, NOON + 4 * DAY - timedelta(hours=6) + hours * HOUR, [{"usd": 1.0}]))
    return list(await store.ticks("price", TICKS[0], TICKS[-1]))


async def hashes(store: SqliteStore) -> dict[datetime, str]:
    return {marker.tick: marker.hash for marker in await store.markers(TICKS[0], TICKS[-1], series="price")}


async def test_a_minute_that_is_not_sealed_is_never_deleted(store):
    assert await ticks_after_a_write(store, 0) == TICKS
    assert await ticks_after_a_write(store, 1) == TICKS


async def test_a_sealed_minute_is_deleted_once_it_is_old_and_the_hours_stay(store):
    assert await ticks_after_a_write(store, 0) == TICKS  # a look that must not count them as done
    await store.mark_sealed("price", await hashes(store))
    assert await ticks_after_a_write(store, 1) == FIRSTS


async def test_a_minute_whose_archived_content_differs_stays(store):
    wrong = {TICKS[1]: "0" * 32}
    await store.mark_sealed("price", await hashes(store) | wrong)
    assert await ticks_after_a_write(store, 0) == [TICKS[0], TICKS[1], TICKS[3]]


async def test_a_sealed_minute_that_is_young_stays(tmp_path):
    store = SqliteStore(
        tmp_path / "topcoins.db", clock=FakeClock(NOON + 2 * DAY), keep_sealed=3 * DAY, confirmed_by=0, durable=False
    )
    for tick in TICKS:
        await store.write(snapshot(PRICE, tick, [{"usd": 1.0}]))
    await store.mark_sealed("price", await hashes(store))
    await store.write(snapshot(PRICE, NOON + 2 * DAY, [{"usd": 1.0}]))
    assert await store.ticks("price", TICKS[0], TICKS[-1]) == TICKS
    await store.close()


async def test_the_archiver_allows_to_delete_what_it_has_sealed(store, tmp_path):
    archiver = Archiver(
        store, Folder(tmp_path / "archive"), (PRICE, VOLUME_RANK), clock=FakeClock(NOON + DAY), spools=tmp_path
    )
    await archiver.catch_up()
    assert await ticks_after_a_write(store, 0) == FIRSTS
