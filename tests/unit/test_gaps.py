"""Gaps: expected slots against stored ticks, and causes that were recorded."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.clock import isoformat, slot
from lib.errors import SnapshotRefused, SourceExhausted, SourceUnavailable, StoreUnavailable
from lib.gaps import Attempt, Evidence, SeriesGaps, gaps_between
from lib.gaps.slots import _Slots
from lib.ingest.missed import FILE, LARGEST, Cause, MissedTick, MissedTicks, cause_of, read_missed
from lib.snapshot import StoredTick
from lib.store.influx.markers import read_stored_ticks
from tests.fakes import NOON

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def stored(minute: float, interval: float = 1, *, backfilled: bool = False) -> StoredTick:
    return StoredTick(NOON + minute * MINUTE, interval * MINUTE, backfilled)


def missed(minute: float, interval: float | None = 1, cause: Cause = "source away") -> MissedTick:
    return MissedTick(NOON + minute * MINUTE, cause, cause, interval * MINUTE if interval else None)


def window(events, start: float, stop: float, *, now: float = 2000) -> SeriesGaps:
    """A window of minutes, from the evidence `find_gaps` reads for it."""
    first, last = NOON + start * MINUTE, NOON + stop * MINUTE
    earlier = [event for event in events if event.tick < first]
    live = [event for event in earlier if not getattr(event, "backfilled", False)] or earlier
    before = Attempt(live[-1].tick, live[-1].interval, live != earlier or live[-1] in live) if live else None
    within = [event for event in events if event.tick >= first]
    ticks = [event for event in within if isinstance(event, StoredTick)]
    misses = [event for event in within if isinstance(event, MissedTick)]
    return gaps_between(Evidence(before, ticks, misses), first, last, NOON + now * MINUTE)


def gaps(*events, start: float = 0, stop: float, now: float = 2000) -> list[tuple[float, float, dict[Cause, int]]]:
    """First and last minute of each gap, and the causes."""
    found = window(events, start, stop, now=now).gaps
    return [((gap.first - NOON) / MINUTE, (gap.last - NOON) / MINUTE, dict(gap.causes)) for gap in found]


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 60))
def test_stored_and_missing_are_all_the_slots_from_the_first_to_the_end(minutes, end):
    found = window([stored(minute) for minute in sorted(minutes)], 0, end)
    assert found.stored == len([minute for minute in minutes if minute <= end])
    assert found.expected == max(end - min(minutes) + 1, 0)


KINDS = st.sampled_from([stored, missed])


@given(
    st.dictionaries(st.integers(0, 90), st.tuples(KINDS, st.sampled_from([1, 5, 10])), min_size=1), st.integers(0, 90)
)
def test_two_windows_side_by_side_miss_what_one_over_both_misses(drawn, cut):
    events = [kind(minute, interval) for minute, (kind, interval) in sorted(drawn.items())]
    events[0] = stored(min(drawn))
    whole, left, right = window(events, 0, 91), window(events, 0, cut), window(events, cut + 1, 91)
    assert left.causes + right.causes == whole.causes
    assert left.stored + right.stored == whole.stored


class Slow(_Slots):
    """Takes the long way for every tick."""

    def _is_due(self, tick: StoredTick) -> bool:
        return False


@given(
    st.dictionaries(
        st.integers(0, 240).map(lambda quarters: quarters / 4),
        st.tuples(KINDS, st.sampled_from([1, 2, 5]), st.booleans(), st.booleans()),
        min_size=1,
    )
)
@example(dict.fromkeys((0, 1, 2, 2.5, 3, 5), (stored, 1, False, False)))
def test_a_tick_that_is_due_exactly_gives_what_the_long_way_gives(drawn):
    both = _Slots(NOON, NOON + 200 * MINUTE, None), Slow(NOON, NOON + 200 * MINUTE, None)
    for slots in both:
        for minute, (kind, interval, backfilled, withdrawn) in sorted(drawn.items()):
            event = kind(minute, interval)
            if isinstance(event, MissedTick):
                slots.add_missed(event)
            else:
                slots.add_stored(event._replace(backfilled=backfilled, withdrawn=withdrawn))
        slots.end(NOON + 70 * MINUTE)
    fast, slow = ({at: slots.missing[at] for at in slots.missing.keys() - slots.taken} for slots in both)
    assert fast == slow


def test_a_first_fetch_between_two_slots_takes_its_own():
    assert gaps(stored(0.5), stored(1), stop=2) == [(2, 2, {"not running": 1})]
    assert gaps(stored(-0.5), stored(0.5), start=-1, stop=0) == []


def test_a_tick_is_expected_once_its_slot_and_one_interval_are_past():
    assert gaps(stored(0), stop=9, now=2) == [(1, 1, {"not running": 1})]
    assert gaps(stored(0), stop=9, now=1.99) == []


def test_a_stretched_interval_expects_its_own_slots():
    """EN-24: the marker of 0 was written with the interval before the plan changed."""
    assert gaps(stored(0), stored(10, 10), stored(20, 10), stored(30, 10), stop=30) == []
    assert gaps(stored(0), stored(10, 10), start=1, stop=9) == []
    assert gaps(stored(0), stored(10, 10), stored(40, 10), stop=40) == [(20, 30, {"not running": 2})]


def test_a_start_with_a_longer_interval_after_an_outage_hides_no_gap():
    assert gaps(stored(0), stored(7.5, 10), stored(10, 10), stop=10) == [(1, 6, {"not running": 6})]


def test_a_shorter_interval_expects_its_own_slots():
    assert gaps(stored(0, 10), stored(10), stop=12) == [(11, 12, {"not running": 2})]


def test_an_interval_that_changes_during_an_outage_expects_what_was_tried():
    """EN-27: also while the outage lasts."""
    tried = [stored(0), missed(1), missed(2), missed(5, 5), missed(10, 5)]
    assert gaps(*tried, stored(15, 5), stop=15) == [(1, 10, {"source away": 4})]
    assert gaps(*tried, stop=14, now=14) == [(1, 5, {"source away": 3})]
    assert gaps(*tried, missed(12, 1), missed(13, 1), stored(14), stop=14) == [(1, 13, {"source away": 6})]


def test_a_bought_day_takes_its_own_minute_and_changes_nothing_else():
    """EN-23, for every window."""
    events = [stored(0), stored(1), stored(2879.5, 1440, backfilled=True)]
    assert gaps(*events, start=2000, stop=2360, now=9999) == [(2000, 2360, {"not running": 361})]
    assert gaps(*events, start=2900, stop=3260, now=9999) == [(2900, 3260, {"not running": 361})]
    assert gaps(*events, start=2878, stop=2881, now=9999) == [
        (2878, 2878, {"not running": 1}),
        (2880, 2881, {"not running": 2}),
    ]


def test_before_the_first_live_tick_each_bought_one_has_its_own_interval():
    events = [stored(0, 60, backfilled=True), stored(60, 1440, backfilled=True), stored(1000)]
    assert gaps(*events, stop=1001) == [(1001, 1001, {"not running": 1})]
    assert gaps(*events, start=61, stop=999) == []


def test_before_the_first_snapshot_only_recorded_misses_are_missing():
    assert gaps(missed(-3), stored(0), start=-10, stop=0) == [(-3, -3, {"source away": 1})]
    assert gaps(missed(-3, cause="credits"), start=-10, stop=0, now=-3) == [(-3, -3, {"credits": 1})]


def test_a_gap_has_the_cause_of_most_of_its_ticks():
    misses = [missed(1, cause="credits"), missed(2, cause="credits"), missed(3)]
    (gap,) = window([stored(0), *misses, stored(5)], 0, 5).gaps
    assert (gap.ticks, gap.cause, gap.why) == (4, "credits", "credits")
    assert gap.causes == Counter({"credits": 2, "source away": 1, "not running": 1})


def test_a_miss_without_a_recorded_interval_belongs_to_the_slot_it_is_in():
    misses = [missed(1.5, None, "credits"), missed(4.5, None)]
    assert gaps(stored(0), *misses, stored(4), stop=4) == [(1, 3, {"credits": 1, "not running": 2})]
    assert gaps(stored(0), missed(1.5, None, "credits"), stop=1) == [(1, 1, {"credits": 1})]


def test_a_miss_after_the_last_slot_that_is_due_names_none_before_it():
    assert gaps(stored(0), missed(2, None, "credits"), stop=1) == [(1, 1, {"not running": 1})]


def test_a_withdrawn_tick_is_a_gap_with_its_cause():
    withdrawn = stored(1)._replace(withdrawn=True)
    assert gaps(stored(0), withdrawn, stored(2), stop=2) == [(1, 1, {"withdrawn": 1})]
    bought = stored(1, 1440, backfilled=True)._replace(withdrawn=True)
    assert gaps(stored(0), bought, stored(2), stop=2) == [(1, 1, {"not running": 1})]


def test_each_error_has_a_cause():
    assert cause_of(SourceExhausted("x")) == "credits"
    assert cause_of(SourceUnavailable("x")) == "source away"
    assert cause_of(SnapshotRefused("x")) == "snapshot refused"
    assert cause_of(StoreUnavailable("x")) == "store"
    assert cause_of(RuntimeError("x")) == "crash"


def test_misses_read_back_within_their_span(tmp_path):
    misses = MissedTicks(tmp_path)
    for minute in range(5):
        misses.record(MissedTick(NOON + minute * MINUTE, "credits", f"{minute}"))
    assert [miss.why for miss in read_missed(tmp_path, NOON + MINUTE, NOON + 3 * MINUTE)] == ["1", "2", "3"]
    assert read_missed(tmp_path / "nowhere", NOON, NOON) == []


@pytest.mark.parametrize("interval", ["-5", "1e-9", "0", "false"])
def test_an_interval_that_is_none_is_passed_over(tmp_path, interval):
    line = f'{{"tick": {NOON.timestamp():.0f}, "cause": "busy", "why": "", "interval_s": {interval}}}'
    (tmp_path / FILE).write_text(line, "utf-8")
    assert [miss.interval for miss in read_missed(tmp_path, NOON, NOON)] == [None]


def test_an_interval_in_force_is_recorded_with_the_miss(tmp_path):
    misses = [missed(1, 5), missed(2, None)]
    MissedTicks(tmp_path).record(*misses)
    assert read_missed(tmp_path, NOON, NOON + DAY) == misses


def test_the_file_of_missed_ticks_is_bounded_and_keeps_the_newest(tmp_path):
    misses = MissedTicks(tmp_path)
    for minute in range(2600):
        misses.record(MissedTick(NOON + minute * MINUTE, "source away", "x" * 500))
    assert (tmp_path / "misses.jsonl").stat().st_size <= LARGEST + 1000
    kept = read_missed(tmp_path, NOON, NOON + 3000 * MINUTE)
    assert kept[-1].tick == NOON + 2599 * MINUTE
    assert slot(kept[0].tick, MINUTE) == kept[0].tick


def test_a_damaged_line_is_left_out(tmp_path):
    misses = MissedTicks(tmp_path)
    misses.record(MissedTick(NOON, "credits", "one"))
    with (tmp_path / "misses.jsonl").open("ab") as file:
        file.write(b'{"tick": 1\n[]\n')
    misses.record(MissedTick(NOON, "credits", "two"))
    assert [miss.why for miss in read_missed(tmp_path, NOON, NOON)] == ["one", "two"]


def test_lines_of_another_kind_are_left_out(tmp_path):
    (tmp_path / FILE).write_bytes(
        b'5\n{"tick": 1e300, "cause": "credits", "why": ""}\n{"tick": 9e11, "cause": "credits", "why": ""}\n'
        b'{"tick": 1785585600, "cause": "witchcraft", "why": ""}\n{"tick": 1785585600, "cause": ["credits"], "why": ""}'
    )
    assert read_missed(tmp_path, NOON - 9000 * MINUTE, NOON + 9000 * MINUTE) == []


def test_a_miss_the_disk_did_not_take_is_written_with_the_next(tmp_path):
    misses = MissedTicks(tmp_path)
    (tmp_path / FILE).mkdir()
    misses.record(MissedTick(NOON, "spool", "one"))
    (tmp_path / FILE).rmdir()
    misses.record(MissedTick(NOON + MINUTE, "spool", "two"))
    misses.record()
    assert [miss.why for miss in read_missed(tmp_path, NOON, NOON + MINUTE)] == ["one", "two"]


def test_half_a_line_does_not_spoil_the_next(tmp_path):
    misses = MissedTicks(tmp_path)
    with (tmp_path / FILE).open("wb") as file:
        file.write(b'{"tick": 17855')
    misses.record(MissedTick(NOON, "spool", "one"))
    assert [miss.why for miss in read_missed(tmp_path, NOON, NOON)] == ["one"]


def most_bytes(work: Callable[[], object]) -> int:
    """The most memory that some work has at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_old_marker_before_a_hole_of_years_costs_nothing():
    """SV-12: to list each minute of three years takes 200 MB."""
    evidence = Evidence(Attempt(NOON - 3 * 365 * DAY, MINUTE), [])
    found: list[SeriesGaps] = []
    used = most_bytes(lambda: found.append(gaps_between(evidence, NOON - 60 * MINUTE, NOON - MINUTE, NOON)))
    assert found[0].missing == 60
    assert used < 2**20


def test_the_gaps_of_a_week_fit_in_memory():
    """SV-9: both series at once, from InfluxDB's answer to the gaps."""
    start, ticks = NOON - 7 * DAY, 7 * 24 * 60
    lines = (f",ticks,0,{isoformat(start + minute * MINUTE)},interval_s,60\r\n" for minute in range(ticks))
    csv = ",result,table,_time,_field,_value\r\n" + "".join(lines)

    def gaps_of(series: int) -> SeriesGaps:
        stored, _ = read_stored_ticks(csv)
        return gaps_between(Evidence(None, stored), start, NOON, NOON)

    found: list[SeriesGaps] = []
    used = most_bytes(lambda: found.extend(map(gaps_of, range(2))))
    assert [(each.stored, each.missing) for each in found] == [(ticks, 0)] * 2
    assert used < 10 * 2**20
