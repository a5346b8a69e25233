"""The gap ledger: expected slots against markers, and causes that were written down."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from lib.cli.forecast import sample_snapshot
from lib.clock import slot
from lib.errors import SnapshotRefused, SourceExhausted, SourceUnavailable, StoreUnavailable
from lib.gaps import expected, gaps
from lib.ingest.missed import FILE, LARGEST, Cause, MissedTick, MissedTicks, cause_of, read_missed
from lib.schema import PRICE
from tests.fakes import NOON

MINUTE = timedelta(minutes=1)
BASE = sample_snapshot(PRICE, NOON, 1).marker


def marker(minute: float, interval: int = 1):
    return replace(BASE, tick=NOON + minute * MINUTE, interval=interval * MINUTE)


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 60))
def test_stored_and_missing_are_all_the_slots_from_the_first_to_the_end(minutes, end):
    markers = [marker(minute) for minute in sorted(minutes)]
    stop = NOON + max(end, max(minutes)) * MINUTE
    missing = expected(markers, stop)
    first = min(minutes)
    whole = [NOON + minute * MINUTE for minute in range(first, int((stop - NOON) / MINUTE) + 1)]
    assert sorted([*missing, *(m.tick for m in markers)]) == whole
    assert sum(gap.ticks for gap in gaps(markers, missing, [])) == len(missing)


def test_a_first_fetch_between_two_slots_stands_for_its_own():
    assert expected([marker(0.5), marker(1)], NOON + 2 * MINUTE) == [NOON + 2 * MINUTE]
    assert expected([marker(-0.5), marker(0.5)], NOON) == []


def test_a_stretched_interval_expects_its_own_slots():
    markers = [marker(0), marker(1, 4), marker(4, 4), marker(12, 1)]
    assert expected(markers, NOON + 13 * MINUTE) == [NOON + minute * MINUTE for minute in (8, 13)]


def test_a_gap_has_the_cause_of_most_of_its_ticks():
    markers = [marker(0), marker(5)]
    causes: list[Cause] = ["credits", "credits", "source away"]
    misses = [MissedTick(NOON + n * MINUTE, cause, cause) for n, cause in enumerate(causes, 1)]
    (gap,) = gaps(markers, expected(markers, NOON + 5 * MINUTE), misses)
    assert (gap.ticks, gap.cause, gap.why) == (4, "credits", "credits")
    assert gap.causes == {"credits": 2, "source away": 1, "not running": 1}


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


def test_the_ledger_is_bounded_and_keeps_the_newest(tmp_path):
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


def test_a_miss_belongs_to_the_slot_it_is_in():
    markers = [marker(0), marker(4)]
    misses = [MissedTick(NOON + 1.5 * MINUTE, "credits", "x"), MissedTick(NOON + 4.5 * MINUTE, "source away", "y")]
    (gap,) = gaps(markers, expected(markers, NOON + 4 * MINUTE), misses)
    assert gap.causes == {"credits": 1, "not running": 2}


def test_a_miss_after_the_last_slot_that_is_due_names_none_before_it():
    markers = [marker(0)]
    misses = [MissedTick(NOON + 2 * MINUTE, "credits", "x")]
    (gap,) = gaps(markers, expected(markers, NOON + MINUTE), misses)
    assert gap.causes == {"not running": 1}


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
