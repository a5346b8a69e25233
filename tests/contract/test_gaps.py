"""Gaps over a real store: the same in both, past the retention too, and cheap however much is stored."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lib.gaps import SeriesGaps, find_gaps
from lib.ingest.missed import MissedTick, MissedTicks
from lib.schema import PRICE
from lib.store import Store
from lib.store.sqlite import SqliteStore
from tests.contract.snapshots import MINUTE, snapshot
from tests.fakes import HOUR, NOON, FakeClock

DAY = timedelta(days=1)
NOWHERE = Path("no-such-folder")


async def gaps(store: Store, start: datetime, stop: datetime, *, now: datetime, folder: Path = NOWHERE) -> SeriesGaps:
    return await find_gaps(store, PRICE.name, start, stop, now=now, folder=folder)


async def fill(store: Store, *ticks: datetime, **marked) -> None:
    for tick in ticks:
        await store.write(snapshot(PRICE, tick, [{"symbol": "BTC"}], **marked))


async def test_after_a_bought_day_minutes_are_still_expected(store, clock):
    """EN-23."""
    await fill(store, *(NOON + minute * MINUTE for minute in range(5)))
    clock.move(days=3)
    await fill(store, NOON + DAY - 30 * timedelta(seconds=1), interval=DAY, backfilled=True)
    later = NOON + DAY + HOUR
    assert (await gaps(store, later, later + 6 * HOUR, now=clock())).missing == 361
    assert (await gaps(store, clock() - HOUR, clock(), now=clock())).missing == 60


async def test_before_the_first_snapshot_nothing_is_expected(store, clock):
    assert (await gaps(store, NOON - DAY, NOON, now=clock())).expected == 0
    await fill(store, NOON)
    assert (await gaps(store, NOON - DAY, NOON - MINUTE, now=clock())).expected == 0


async def test_the_cause_recorded_in_a_slot_is_found_by_each_window_that_holds_the_slot(store, clock, tmp_path):
    clock.move(hours=1)
    await fill(store, NOON, NOON + 5 * MINUTE)
    MissedTicks(tmp_path).record(MissedTick(NOON + 1.5 * MINUTE, "credits", "used up", MINUTE))
    for stop in (NOON + MINUTE, NOON + 2 * MINUTE, NOON + HOUR):
        assert (await gaps(store, NOON, stop, now=clock(), folder=tmp_path)).causes["credits"] == 1


@pytest.fixture
def short(request, place, tmp_path, clock):
    """A store that keeps minutes for two hours."""
    if "sqlite" in request.node.callspec.id:
        return SqliteStore(tmp_path / "topcoins.db", clock=clock, retention=2 * HOUR)
    return request.getfixturevalue("influx_bucket").store(clock, retention=2 * HOUR)


async def test_minutes_that_the_retention_deleted_are_no_gap(short, place, clock):
    """EN-25."""
    ticks = [NOON + minute * MINUTE for minute in range(10)]
    clock.now = ticks[-1]
    await fill(short, *ticks)
    clock.move(hours=3)
    await fill(short, clock())
    await place.settle()
    found = await gaps(short, ticks[0], ticks[-1], now=clock())
    assert (found.stored, found.missing) == (1, 0)
    await short.close()


async def test_past_the_retention_a_whole_hour_without_a_tick_is_missing(short, place, clock, tmp_path):
    clock.now = NOON
    await fill(short, NOON + 7 * MINUTE, NOON + 3 * HOUR)
    MissedTicks(tmp_path).record(MissedTick(NOON + HOUR + 9 * MINUTE, "credits", "used up", MINUTE))
    clock.move(hours=9)
    await fill(short, clock() - MINUTE, clock())
    await place.settle()
    found = await gaps(short, NOON - DAY, clock() - 3 * HOUR, now=clock(), folder=tmp_path)
    assert (found.stored, found.missing, found.causes) == (2, 5, {"credits": 1, "not running": 4})
    await short.close()


class TicksOnly(SqliteStore):
    """A store that counts the single markers that are read. No more may be read at once."""

    read = 0

    async def markers(self, *args, **options):
        raise AssertionError("whole markers are read")

    async def nearest(self, *args, **options):
        self.read += 1
        return await super().nearest(*args, **options)


async def test_at_most_one_marker_is_read(tmp_path):
    """SV-9: a marker has the ids of its members, a kilobyte or more each."""
    store = TicksOnly(tmp_path / "topcoins.db", clock=FakeClock())
    await fill(store, NOON - 2 * DAY, NOON - 2 * MINUTE)
    assert (await gaps(store, NOON - DAY, NOON, now=NOON)).missing > 1
    assert store.read == 1
    await store.close()
