"""The archive's tables as frames: markers, withdrawals and gaps. The series have their own columns, and `tick`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args

import polars as pl

from lib import schema
from lib.ingest.missed import Cause, MissedTick
from lib.schema import ID, TIER, Series
from lib.snapshot import MARKER_FIELDS, MARKER_KINDS, WITHDRAWAL, Marker
from lib.times import TIME

MARKERS = schema.MARKER
WITHDRAWALS = "withdrawal"
GAPS = "gap"
TICK = "tick"

_TYPES = {str: pl.String(), int: pl.Int64(), bool: pl.Boolean(), float: pl.Float64(), datetime: TIME}
_FIELDS = {column: name for name, column in MARKER_FIELDS.items()}

MARKER_COLUMNS: dict[str, Any] = {
    MARKER_FIELDS[name]: _TYPES.get(kind, pl.Float64()) for name, kind in MARKER_KINDS.items() if name not in WITHDRAWAL
}
WITHDRAWAL_COLUMNS: dict[str, Any] = {
    "series": pl.String(), TICK: TIME, "at": TIME, "why": pl.String(), "undone": pl.Boolean()
}  # fmt: skip
GAP_COLUMNS: dict[str, Any] = {
    "series": pl.String(), TICK: TIME, "cause": pl.String(), "why": pl.String(), "interval_s": pl.Float64()
}  # fmt: skip


def series_columns(series: Series) -> dict[str, Any]:
    """The columns of a series' part."""
    return {TICK: TIME, **series.columns}


def in_order(series: Series, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of several ticks in the order of a part: by tick, then rank. A series without a rank: by tier and id."""
    return rows.sort(TICK, *(["rank"] if "rank" in series.fields else [TIER]), ID)


def markers_frame(markers: Sequence[Marker]) -> pl.DataFrame:
    """Markers as rows, by tick. Withdrawals are a table of their own."""
    rows = [[_as_cell(marker, name) for name in MARKER_KINDS if name not in WITHDRAWAL] for marker in markers]
    return pl.DataFrame(rows, schema=MARKER_COLUMNS, orient="row").sort(TICK, "series")


def markers_of(frame: pl.DataFrame) -> list[Marker]:
    """The markers of `markers_frame`."""
    names = [_FIELDS[column] for column in frame.columns]
    return [
        Marker(**{name: _as_value(name, cell) for name, cell in zip(names, row, strict=True)})
        for row in frame.iter_rows()
    ]


def _as_cell(marker: Marker, name: str) -> Any:
    value = getattr(marker, name)
    return value.total_seconds() if isinstance(value, timedelta) else value


def _as_value(name: str, cell: Any) -> Any:
    return timedelta(seconds=cell) if MARKER_KINDS[name] is timedelta and cell is not None else cell


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A tick that stopped answering at an instant, or, if `undone`, answers again from then on."""

    series: str
    tick: datetime
    at: datetime
    why: str | None
    undone: bool


def withdrawals_since(old: Marker, new: Marker) -> Iterator[Withdrawal]:
    """The changes that make the withdrawal of `old` that of `new`."""
    if new.withdrawn_at and new.withdrawn_at != old.withdrawn_at:
        yield Withdrawal(new.series, new.tick, new.withdrawn_at, new.withdrawn_why, False)
    if new.restored_at and new.restored_at != old.restored_at:
        yield Withdrawal(new.series, new.tick, new.restored_at, None, True)


def with_withdrawals(marker: Marker, changes: Iterable[Withdrawal]) -> Marker:
    """The marker after its changes. As in the stores, of repeated ones the last counts."""
    for change in sorted(changes, key=lambda change: change.at):
        if change.undone:
            marker = replace(marker, restored_at=change.at)
        else:
            marker = replace(marker, withdrawn_at=change.at, restored_at=None, withdrawn_why=change.why)
    return marker


def withdrawals_frame(changes: Sequence[Withdrawal]) -> pl.DataFrame:
    """Withdrawals as rows."""
    rows = [[getattr(change, name) for name in WITHDRAWAL_COLUMNS] for change in changes]
    return pl.DataFrame(rows, schema=WITHDRAWAL_COLUMNS, orient="row").sort(TICK, "series", "at")


def withdrawals_of(frame: pl.DataFrame) -> list[Withdrawal]:
    """The withdrawals of `withdrawals_frame`."""
    return [Withdrawal(**row) for row in frame.to_dicts()]


def by_snapshot(changes: Iterable[Withdrawal]) -> dict[tuple[str, datetime], list[Withdrawal]]:
    """Withdrawals by series and tick."""
    grouped: dict[tuple[str, datetime], list[Withdrawal]] = {}
    for change in changes:
        grouped.setdefault((change.series, change.tick), []).append(change)
    return grouped


def gaps_frame(gaps: Sequence[tuple[str, MissedTick]]) -> pl.DataFrame:
    """The missing ticks of some series, each with its cause; `why` is null where nothing was recorded."""
    rows = [
        [series, gap.tick, gap.cause, gap.why or None, gap.interval.total_seconds() if gap.interval else None]
        for series, gap in gaps
    ]
    return pl.DataFrame(rows, schema=GAP_COLUMNS, orient="row").sort(TICK, "series")


def missed_of(frame: pl.DataFrame) -> list[MissedTick]:
    """The recorded ticks of `gaps_frame`; the others follow from the ticks that are stored."""
    recorded = frame.filter(pl.col("why").is_not_null() & pl.col("cause").is_in(get_args(Cause)))
    return [
        MissedTick(tick, cause, why, timedelta(seconds=seconds) if seconds else None)
        for tick, cause, why, seconds in recorded.select(TICK, "cause", "why", "interval_s").iter_rows()
    ]
