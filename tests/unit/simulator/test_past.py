"""The past of the demo of Compose: which ticks, in which order, and where they go."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from lib.schema import PRICE
from lib.simulator.past import HOURS, MINUTES, ToBothBuckets, stretches
from tests.fakes import FakeClock, MemoryStore
from tests.sample import sample_snapshot

NOW = datetime(2026, 11, 26, 22, 14, 33, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def test_two_days_of_minutes_and_a_month_of_hours_end_before_the_minute_of_now():
    parts = list(stretches(NOW))
    minutes = sorted(tick for interval, ticks in parts if interval == MINUTE for tick in ticks)
    hours = sorted(tick for interval, ticks in parts if interval == HOUR for tick in ticks)
    assert minutes[-1] == datetime(2026, 11, 26, 22, 13, tzinfo=UTC)
    assert NOW - minutes[0] >= MINUTES
    assert {later - earlier for earlier, later in pairwise(minutes)} == {MINUTE}
    assert minutes[0] - hours[-1] == HOUR
    assert {later - earlier for earlier, later in pairwise(hours)} == {HOUR}
    assert HOURS - timedelta(days=1) <= NOW - hours[0] <= HOURS + timedelta(days=1)


def test_the_newest_stretch_is_the_first():
    starts = [ticks[0] for _, ticks in stretches(NOW) if ticks]
    assert starts == sorted(starts, reverse=True)


async def test_a_tick_on_the_hour_goes_into_both_buckets():
    clock = FakeClock(NOW)
    store, hourly = MemoryStore(clock), MemoryStore(clock)
    delivery = ToBothBuckets(store, hourly)
    for tick in (NOW.replace(minute=0, second=0), NOW.replace(second=0)):
        await delivery.accept(sample_snapshot(PRICE, tick, 3))
    assert [tick for _, tick in store.snapshots] == [NOW.replace(minute=0, second=0), NOW.replace(second=0)]
    assert [tick for _, tick in hourly.snapshots] == [NOW.replace(minute=0, second=0)]
