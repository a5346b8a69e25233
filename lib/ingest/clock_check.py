"""Refuses a list when our clock and the upstream's disagree. The only place that compares clocks."""

from dataclasses import replace
from datetime import timedelta

import polars as pl

from lib.errors import ClockDisagrees
from lib.source.reading import UPDATED_AT, Reading

TOLERANCE = timedelta(seconds=5)
"""Allowed on both sides: HTTP dates have whole seconds, and well-kept clocks are within a second or two."""
LONGEST_FETCH = timedelta(minutes=2)
"""A fetch takes no longer. A duration above this shows that our clock jumped while it ran."""
MOST_AHEAD = 0.1
"""If more than this part of the rows is from our future, our clock is wrong; fewer are the fault of those rows."""
AHEAD = f"{UPDATED_AT} is after our clock"


def check_clock(reading: Reading) -> Reading:
    """The reading without rows of our future, which become counted rejects; ClockDisagrees when a clock is wrong.

    Old values are not refused: the upstream may be frozen. Without any time of the upstream the reading is accepted.
    """
    duration = min(reading.duration, LONGEST_FETCH)
    _compare(reading, duration + TOLERANCE)
    if UPDATED_AT not in reading.rows.columns:
        return reading
    latest = (reading.observed_at + duration + TOLERANCE).timestamp()
    is_ahead = (pl.col(UPDATED_AT).is_finite() & (pl.col(UPDATED_AT) > latest)).fill_null(False)
    present = reading.rows.filter(~is_ahead)
    ahead, timed = len(reading.rows) - len(present), reading.rows[UPDATED_AT].count()
    if not ahead:
        return reading
    if ahead > max(1, timed * MOST_AHEAD):
        raise ClockDisagrees(
            f"{reading.source}: {ahead} of {timed} rows were updated after our clock, {reading.observed_at:%FT%TZ};"
            " check this machine's clock"
        )
    return replace(reading, rows=present, rejected={**reading.rejected, AHEAD: ahead})


def _compare(reading: Reading, allowed: timedelta) -> None:
    theirs, ours = reading.upstream_time, reading.observed_at
    if theirs is None:
        return
    off = max(ours - theirs.latest, theirs.earliest - ours)
    if off > allowed:
        side = "ahead of" if ours > theirs.latest else "behind"
        raise ClockDisagrees(
            f"{reading.source}: our clock is {off.total_seconds():.0f} s {side} the upstream's;"
            " check this machine's clock",
            theirs=theirs.latest,
        )
