"""The queries, in Flux. No text of a caller enters one: only names from the configuration, whole numbers and times.

Each series that a query touches costs time, so filters are on tags, in the forms that the storage engine itself
evaluates. `contains` is not one of them, nor is a long chain of `or`.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from lib import schema
from lib.schema import ID, TIER, Series
from lib.store import Resolution

Pick = Literal["first", "last"]

IDS_TO_A_REGEX = 200
"""The time a regex takes per row grows with its length."""
EVER = datetime(1970, 1, 1, tzinfo=UTC)
FOREVER = datetime(2262, 1, 1, tzinfo=UTC)
READY = "answered"
"""The column of the one line that the answer to `ready` always has."""
_LAST_SECOND = 9_223_372_035
"""Flux counts nanoseconds in 64 bits: the year 2262."""


def hourly(bucket: str) -> str:
    """The bucket of the first ticks of the hours, which `topcoins init` makes and a task of the server fills."""
    return f"{bucket}_hourly"


def bucket_of(bucket: str, resolution: Resolution) -> str:
    """The bucket that holds the ticks of a resolution."""
    return bucket if resolution == "1m" else hourly(bucket)


def text(value: str) -> str:
    """A string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def rows(
    bucket: str,
    series: Series,
    fields: Sequence[str],
    start: datetime,
    stop: datetime,
    tiers: range | None,
    ids: Sequence[int] | None,
) -> str:
    """The values with start <= tick <= stop in one table, a line for each row and field; `_time` only of a span."""
    wanted = [f"r._measurement == {text(series.name)}"]
    if len(fields) < len(series.fields):
        wanted.append("(" + " or ".join(f"r._field == {text(name)}" for name in fields) + ")")
    if tiers is not None:
        wanted.append("(" + " or ".join(f'r.{TIER} == "{tier}"' for tier in tiers) + ")")
    if ids is not None:
        parts = [ids[at : at + IDS_TO_A_REGEX] for at in range(0, len(ids), IDS_TO_A_REGEX)]
        wanted.append("(" + " or ".join(f"r.{ID} =~ /^({'|'.join(map(str, part))})$/" for part in parts) + ")")
    times = ["_time"] if start < stop else []
    # Ungrouped, each series is a table of its own; this is the cheapest group that makes one table.
    return (
        f"{_points(bucket, start, stop, wanted)}"
        f' |> group(columns: ["_measurement"]) |> {_keep([*times, ID, *series.tags, TIER, "_field", "_value"])}'
    )


def markers(bucket: str, start: datetime, stop: datetime, series: str | None) -> str:
    """The markers with start <= tick <= stop, a line for each of their fields."""
    columns = ["_time", "series", "source", "_field", "_value"]
    return f"{_points(bucket, start, stop, _of_markers(series))} |> {_keep(columns)}"


def ticks(bucket: str, series: str, start: datetime, stop: datetime, *, stored_at: bool) -> str:
    """The markers' times, their withdrawals and, if wanted, `stored_at`. `observed_at` represents the marker."""
    names = ["observed_at", "withdrawn_at", "restored_at", *(["stored_at"] if stored_at else [])]
    fields = " or ".join(f'r._field == "{name}"' for name in names)
    columns = ["_time", "_field", "_value"]
    points = _points(bucket, start, stop, [*_of_markers(series), f"({fields})"])
    return f'{points} |> group(columns: ["_measurement"]) |> {_keep(columns)}'


def stored_ticks(bucket: str, series: str, start: datetime, stop: datetime) -> str:
    """The markers' times and intervals; further lines of those that were backfilled or withdrawn.

    The value of `backfilled` is compared after the group: InfluxDB 2.9 loses later shards where storage compares it.
    """
    fields = " or ".join(
        f'r._field == "{name}"' for name in ("interval_s", "backfilled", "withdrawn_at", "restored_at")
    )
    points = _points(bucket, start, stop, [*_of_markers(series), f"({fields})"])
    late = '|> filter(fn: (r) => r._field != "backfilled" or r._value == 1.0)'
    return f'{points} |> group(columns: ["_measurement"]) {late} |> {_keep(["_time", "_field", "_value"])}'


def history(bucket: str, series: Series, cmc_id: int, start: datetime, stop: datetime) -> str:
    """The values of one asset with start <= tick <= stop, a line for each row and field."""
    fields = " or ".join(f"r._field == {text(name)}" for name in series.fields)
    wanted = [f"r._measurement == {text(series.name)}", f'r.{ID} == "{cmc_id}"', f"({fields})"]
    columns = ["_time", ID, *series.tags, TIER, "_field", "_value"]
    return f'{_points(bucket, start, stop, wanted)} |> group(columns: ["_measurement"]) |> {_keep(columns)}'


def outermost(bucket: str, series: str, start: datetime, stop: datetime, pick: Pick) -> str:
    """The time of each source's `first` or `last` marker, read from one field, so that the index answers."""
    wanted = [*_of_markers(series), 'r._field == "observed_at"']
    return f"{_points(bucket, start, stop, wanted)} |> {pick}() |> {_keep(['_time'])}"


def ready(bucket: str, series: str, start: datetime, stop: datetime) -> str:
    """The last marker's time, and a line that is there whatever is stored: nothing else answers so."""
    newest = f'{outermost(bucket, series, start, stop, "last")} |> yield(name: "newest")'
    return f'import "array"\n{newest}\narray.from(rows: [{{{READY}: "yes"}}]) |> yield(name: "{READY}")'


def row_count(bucket: str) -> str:
    """The sum of the row counts that a bucket's markers state, a line for each series and source."""
    wanted = [*_of_markers(None), 'r._field == "assets"']
    return f"{_points(bucket, EVER, FOREVER, wanted)} |> sum() |> {_keep(['_value'])}"


def leftovers(bucket: str, series: Series, tick: datetime) -> str:
    """The markers that an earlier write of a tick left, and one line if it left rows."""
    wanted = _of_markers(series.name)
    marker = _points(bucket, tick, tick, wanted)
    of_rows = [f"r._measurement == {text(series.name)}", f'r.{TIER} == "0"', f"r._field == {text(series.fields[0])}"]
    one_row = f'{_points(bucket, tick, tick, of_rows)} |> group(columns: ["_measurement"]) |> limit(n: 1)'
    shown = _keep(["_time", "series", "source", "_field", "_value"])
    return f'{marker} |> {shown} |> yield(name: "markers")\n{one_row} |> {shown} |> yield(name: "rows")'


def claims(bucket: str, series: str, within: timedelta) -> str:
    """The newest claim of each writer of a series, not older than `within` by the server's clock."""
    return (
        f"from(bucket: {text(bucket)}) |> range(start: -{int(within.total_seconds())}s)"
        f" |> filter(fn: (r) => r._measurement == {text(schema.CLAIM)} and r.series == {text(series)})"
        f" |> last() |> {_keep(['writer', '_value'])}"
    )


def is_marker(series: Series) -> str:
    """The delete predicate of a series' markers."""
    return f'_measurement={text(schema.MARKER)} AND "series"={text(series.name)}'


def is_row(series: Series) -> str:
    """The delete predicate of a series' rows."""
    return f"_measurement={text(series.name)}"


def spans(start: datetime, stop: datetime) -> bool:
    """Whether a whole second lies between the two: Flux refuses an empty range."""
    first, last = _range(start, stop)
    return first < last


def _of_markers(series: str | None) -> list[str]:
    measurement = f"r._measurement == {text(schema.MARKER)}"
    return [measurement] if series is None else [measurement, f"r.series == {text(series)}"]


def _points(bucket: str, start: datetime, stop: datetime, wanted: Iterable[str]) -> str:
    first, last = _range(start, stop)
    return (
        f"from(bucket: {text(bucket)}) |> range(start: {first}, stop: {last})"
        f" |> filter(fn: (r) => {' and '.join(wanted)})"
    )


def _range(start: datetime, stop: datetime) -> tuple[int, int]:
    """Whole seconds from start to stop, both included: Flux excludes its stop."""
    first, last = math.ceil(start.timestamp()), math.floor(stop.timestamp()) + 1
    return max(first, 0), min(last, _LAST_SECOND)


def _keep(columns: Iterable[str]) -> str:
    return f"keep(columns: [{', '.join(text(column) for column in columns)}])"
