"""Which stored ticks and markers a question is about: as expressions, and by the withdrawals of their snapshots."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import polars as pl

from lib.archive.tables import TICK, Withdrawal, with_withdrawals
from lib.clock import EPOCH, MINUTE
from lib.snapshot import Marker, StoredTick
from lib.store import Steps
from lib.times import instants

VISIBLE = "visible_since"
_HOUR = "hour"
BLANK = Marker("", "", EPOCH, 0, 0, 0, timedelta(), EPOCH, 0.0, timedelta(), False, False, "")
"""A marker without a withdrawal."""


def near_steps(steps: Steps) -> pl.Expr:
    """The ticks that lie less than a minute before a step."""
    every, minute = (int(span / timedelta.resolution) for span in (steps.every, MINUTE))
    before = pl.lit(int((steps.first - EPOCH) / timedelta.resolution)) - pl.col(TICK).to_physical()
    return (before % every + every) % every < minute


def changed(tick: StoredTick, changes: Sequence[Withdrawal], *, known: bool) -> StoredTick:
    """The tick after its withdrawals."""
    marker = with_withdrawals(BLANK, changes)
    changed = tick._replace(withdrawn=marker.is_withdrawn())
    return changed._replace(withdrawn_at=marker.withdrawn_at, restored_at=marker.restored_at) if known else changed


def stored_ticks(
    series: str,
    frame: pl.DataFrame,
    changes: Mapping[tuple[str, datetime], Sequence[Withdrawal]],
    *,
    known: bool = False,
) -> list[StoredTick]:
    """A series' markers as ticks, after their withdrawals. With `known` they have their sources and these times."""
    intervals = {seconds: timedelta(seconds=seconds) for seconds in frame["interval_s"].unique()}
    spans = [intervals[seconds] for seconds in frame["interval_s"].to_list()]
    columns = [instants(frame[TICK]), spans, frame["backfilled"].to_list()]
    if known:
        columns += [[False] * len(frame), frame["source"].to_list(), instants(frame[VISIBLE])]
    ticks = [StoredTick(*row) for row in zip(*columns, strict=True)]
    if not changes:
        return ticks
    return [changed(tick, changes.get((series, tick.tick), ()), known=known) for tick in ticks]


def of_series(series: str | None) -> pl.Expr:
    """The rows of a series, by default of all."""
    return pl.lit(True) if series is None else pl.col("series") == series


def visible(frame: pl.DataFrame, known_at: datetime | None) -> pl.DataFrame:
    """The markers that a reader could see at an instant; all without an instant."""
    return frame if known_at is None else frame.filter(pl.col(VISIBLE) <= known_at)


def firsts_of_hours(frame: pl.DataFrame) -> pl.DataFrame:
    """The first of each series and hour."""
    hours = frame.with_columns(pl.col(TICK).dt.truncate("1h").alias(_HOUR))
    return hours.unique(["series", _HOUR], keep="first", maintain_order=True).drop(_HOUR)
