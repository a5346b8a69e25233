"""The clock check: when our clock and the upstream's disagree, no list is trusted."""

from datetime import timedelta

import polars as pl
import pytest

from lib.errors import ClockDisagrees
from lib.ingest.clock_check import AHEAD, check_clock
from lib.ingest.missed import cause_of
from lib.schema import PRICE
from lib.source.reading import Reading, UpstreamTime
from tests.fakes import NOON

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
FETCH = 3 * SECOND


def reading(
    *, ours: timedelta = timedelta(), age: float | None = 0, updates: tuple[float | None, ...] = (-60.0,) * 20
) -> Reading:
    """A list that the upstream sent at noon by its own clock; `updates` are seconds from noon."""
    times = [None if seconds is None else NOON.timestamp() + seconds for seconds in updates]
    rows = pl.DataFrame({"cmc_id": list(range(1, len(times) + 1)), "updated_at": pl.Series(times, dtype=pl.Float64)})
    theirs = None if age is None else UpstreamTime(NOON, NOON + timedelta(seconds=age))
    return Reading("acme", PRICE, rows, len(rows), {}, 1.0, NOON + ours, FETCH, theirs)


def is_trusted(found: Reading) -> bool:
    try:
        check_clock(found)
    except ClockDisagrees:
        return False
    return True


def test_the_error_names_the_wrong_clock_and_its_offset_and_the_gap_has_the_cause_clock():
    with pytest.raises(
        ClockDisagrees, match="acme: our clock is 48 s behind the upstream's; check this machine's"
    ) as no:
        check_clock(reading(ours=-48 * SECOND))
    assert cause_of(no.value) == "clock"
    with pytest.raises(ClockDisagrees, match="acme: 20 of 20 rows were updated after our clock, 2026-08-01T12:00:00Z"):
        check_clock(reading(updates=(60.0,) * 20))


@pytest.mark.parametrize(
    ("off", "age", "trusted"),
    [
        (0, 0, True),
        (8, 0, True),  # 5 s and the 3 s of the fetch
        (9, 0, False),
        (-8, 0, True),
        (-9, 0, False),
        (48, 0, False),
        (-48, 0, False),
        (3600, 0, False),
        (-3600, 0, False),
        (40 * 86400, 0, False),
        (-40 * 86400, 0, False),
        (300, 300, True),  # a CDN's copy: its Date is as old as its Age
        (308, 300, True),
        (309, 300, False),
        (-9, 300, False),
    ],
)
def test_our_clock_must_lie_within_what_the_upstream_shows(off, age, trusted):
    assert is_trusted(reading(ours=off * SECOND, age=age, updates=(None,) * 20)) is trusted


@pytest.mark.parametrize("off", [-3600, 0, 3600, 40 * 86400])
def test_an_upstream_without_any_time_is_accepted(off):
    assert is_trusted(reading(ours=off * SECOND, age=None, updates=(None,) * 20))


def test_a_clock_that_jumps_while_a_list_is_fetched_is_no_long_fetch():
    jumped = reading(ours=-DAY, updates=(None,))
    jumped = Reading("acme", PRICE, jumped.rows, 1, {}, 1.0, NOON - DAY, DAY, jumped.upstream_time)
    assert not is_trusted(jumped)


@pytest.mark.parametrize(("ahead", "rows", "trusted"), [(1, 20, True), (2, 20, True), (3, 20, False), (1, 3, True)])
@pytest.mark.parametrize("age", [0, None])
def test_a_few_rows_of_our_future_are_their_own_fault_and_many_are_our_clocks(ahead, rows, trusted, age):
    found = reading(age=age, updates=(60.0,) * ahead + (-1.0,) * (rows - ahead))
    assert is_trusted(found) is trusted
    if trusted:
        checked = check_clock(found)
        assert checked.rejected == {AHEAD: ahead}
        assert checked.rows["cmc_id"].to_list() == list(range(ahead + 1, rows + 1))


def test_rows_without_a_time_are_neither_rejected_nor_counted_as_timed():
    found = reading(updates=(60.0, None, None, None))
    assert len(check_clock(found).rows) == 3
    assert not is_trusted(reading(updates=(60.0, 60.0, *(None,) * 100)))


@pytest.mark.parametrize("seconds", [8.0, float("nan"), float("inf")])
def test_a_row_within_the_tolerance_or_without_a_finite_time_stays(seconds):
    assert len(check_clock(reading(updates=(seconds,) * 20)).rows) == 20


@pytest.mark.parametrize("hours", [2, 24 * 365])
def test_old_values_are_never_refused(hours):
    assert is_trusted(reading(updates=(-3600.0 * hours,) * 20))
