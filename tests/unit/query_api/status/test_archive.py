"""The status and the metrics say how far the archive is."""

import pytest
from obstore.store import MemoryStore as ObjectsInMemory

from lib.archive.objects.cloud import Cloud
from lib.errors import StoreUnavailable
from query_api.status.archive import ArchiveReports
from tests.fakes import FakeClock
from tests.unit.archive.world import BOTH, DAY, NEXT_NOON, filled, sealer


@pytest.fixture
def clock():
    return FakeClock(NEXT_NOON)


@pytest.fixture
def objects(tmp_path):
    return Cloud(ObjectsInMemory(), shown="memory", making=tmp_path)


async def test_an_unsealed_day_is_counted_until_it_is_sealed(objects, clock):
    store = filled(clock, DAY)
    reports = ArchiveReports(store, objects, BOTH)
    before = await reports.current(clock())
    assert (before.up, before.sealed_until, before.unsealed_days, before.late) == (True, None, 1, True)
    await sealer(store, objects, clock).seal(DAY)
    assert await reports.current(clock()) == before  # asked once a minute
    clock.move(minutes=1)
    after = await reports.current(clock())
    assert (after.sealed_until, after.unsealed_days, after.late) == (DAY, 0, False)


async def test_an_archive_that_is_away_is_not_up(objects, clock):
    store = filled(clock, DAY)
    store.failure = StoreUnavailable("away")
    assert not (await ArchiveReports(store, objects, BOTH).current(clock())).up
