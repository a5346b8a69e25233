"""The queries, in Flux. No text of a caller enters one: only names from the configuration, whole numbers and times.

Each series that a query touches costs time, so filters are on tags, in the forms that the storage engine itself
evaluates. `contains` is not one of them, nor is a long chain of `or`.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from lib import schema
from lib.schema import ID, PRICE, TIER, Series
from lib.store import Resolution
from lib.text import is_plain

Pick = Literal["first", "last"]

IDS_TO_A_REGEX = 200
"""The time a regex takes per row grows with its length."""
EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""No tick is before this: a span from here on begins with the first one."""
FOREVER = datetime(2262, 1, 1, tzinfo=UTC)
"""No tick is after this: InfluxDB's times end in that year."""
READY = "answered"
"""The column of the one line that the answer to `ready` always has."""
ONE_TABLE = 'group(columns: ["_measurement"])'
"""Ungrouped, each series is a table of its own; this is the cheapest group that makes one table."""
_LAST_SECOND = 9_223_372_035
"""Flux counts nanoseconds in 64 bits: the year 2262."""


def hourly(bucket: str) -> str:
    """The bucket of the first ticks of the hours, which `topcoins init` makes and a task of the server fills."""
    return f"{bucket}_hourly"


def metrics(bucket: str) -> str:
    """The bucket of the services' own numbers, which the server's scraper fills."""
    return f"{bucket}_metrics"


def bucket_of(bucket: str, resolution: Resolution | None) -> str:
    """The bucket that holds the ticks of a resolution, by default `1m`."""
    return hourly(bucket) if resolution == "1h" else bucket


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
    tickers: Collection[str] | None,
) -> str:
    """The values with start <= tick <= stop in one table, a line for each row and field; `_time` only of a span."""
    wanted = [f"r._measurement == {text(series.name)}"]
    if len(fields) < len(series.fields):
        wanted.append(_any_field(fields))
    if tiers is not None:
        wanted.append("(" + " or ".join(f'r.{TIER} == "{tier}"' for tier in tiers) + ")")
    if either := _named(ids, tickers):
        wanted.append("(" + " or ".join(either) + ")")
    times = ["_time"] if start < stop else []
    return _query(bucket, start, stop, wanted, ONE_TABLE, _keep(*times, ID, *series.tags, TIER, "_field", "_value"))


def _named(ids: Sequence[int] | None, tickers: Collection[str] | None) -> list[str]:
    """Conditions of which one is true for one of these ids or tickers. Of tickers only letters and digits enter."""
    either = []
    if ids is not None:
        parts = [ids[at : at + IDS_TO_A_REGEX] for at in range(0, len(ids), IDS_TO_A_REGEX)]
        either += [f"r.{ID} =~ /^({'|'.join(map(str, part))})$/" for part in parts]
    if tickers is not None:
        if not all(map(is_plain, tickers)):
            return []
        either.append(f"r.symbol =~ /^(?i:{'|'.join(sorted(tickers))})$|[^ -~]/")
    return either


def markers(bucket: str, start: datetime, stop: datetime, series: str | None) -> str:
    """The markers with start <= tick <= stop, a line for each of their fields."""
    return _query(bucket, start, stop, _of_markers(series), MARKER_LINES)


def ticks(bucket: str, series: str, start: datetime, stop: datetime) -> str:
    """The markers' times. `observed_at` represents the marker."""
    return _query(bucket, start, stop, [*_of_markers(series), 'r._field == "observed_at"'], ONE_TABLE, _keep("_time"))


def stored_ticks(bucket: str, series: str, start: datetime, stop: datetime, *, known: bool) -> str:
    """The markers' times and intervals, the lines of those withdrawn, and one that was backfilled if any was.

    With `known` also each one's source, and since when it is visible.

    The storage engine evaluates all of it. It may not compare values: InfluxDB 2.9 then loses later shards.
    """
    names = ["interval_s", "withdrawn_at", "restored_at", *(["stored_at", "observed_at"] if known else [])]
    wanted = [*_of_markers(series), _any_field(names)]
    columns = _keep("_time", *(["source"] if known else []), "_field", "_value")
    ticks = _query(bucket, start, stop, wanted, ONE_TABLE, columns, 'yield(name: "ticks")')
    wanted = [*_of_markers(series), _any_field(["backfilled"])]
    backfilled = _query(bucket, start, stop, wanted, "max()", columns, 'yield(name: "backfilled")')
    return f"{ticks}\n{backfilled}".strip()


def backfilled(bucket: str, series: str, start: datetime, stop: datetime) -> str:
    """The times of the markers that were backfilled. The value is compared after the group, outside storage."""
    wanted = [*_of_markers(series), _any_field(["backfilled"])]
    return _query(bucket, start, stop, wanted, ONE_TABLE, "filter(fn: (r) => r._value == 1.0)", _keep("_time"))


def history(bucket: str, series: Series, cmc_id: int, start: datetime, stop: datetime) -> str:
    """The values of one asset with start <= tick <= stop, a line for each row and field."""
    wanted = [f"r._measurement == {text(series.name)}", f'r.{ID} == "{cmc_id}"', _any_field(series.fields)]
    columns = _keep("_time", ID, *series.tags, TIER, "_field", "_value")
    return _query(bucket, start, stop, wanted, ONE_TABLE, columns)


def outermost(bucket: str, series: str, start: datetime, stop: datetime, pick: Pick) -> str:
    """The time of each source's `first` or `last` marker, read from one field, so that the index answers."""
    wanted = [*_of_markers(series), 'r._field == "observed_at"']
    return _query(bucket, start, stop, wanted, f"{pick}()", _keep("_time"))


def ready(bucket: str, series: str, start: datetime, stop: datetime) -> str:
    """The last marker's time, and a line that is there whatever is stored: nothing else answers so."""
    newest = f'{outermost(bucket, series, start, stop, "last")} |> yield(name: "newest")'
    return f'import "array"\n{newest}\narray.from(rows: [{{{READY}: "yes"}}]) |> yield(name: "{READY}")'


def asset_names(bucket: str, start: datetime, stop: datetime) -> str:
    """The time of the first and of the last price of each combination of id, ticker and name, a line for each."""
    wanted = [f"r._measurement == {text(PRICE.name)}", 'r._field == "usd"']
    queries = [
        _query(bucket, start, stop, wanted, f"{pick}()", _keep("_time", ID, *PRICE.tags)) for pick in ("first", "last")
    ]
    return "\n".join(f'{query} |> group() |> yield(name: "{n}")' for n, query in enumerate(queries) if query)


def row_count(bucket: str) -> str:
    """The sum of the row counts that a bucket's markers state, a line for each series and source."""
    wanted = [*_of_markers(None), 'r._field == "assets"']
    return _query(bucket, EVER, FOREVER, wanted, "sum()", _keep("_value"))


def leftovers(bucket: str, series: Series, tick: datetime) -> str:
    """The markers that an earlier write of a tick left, and one line if it left rows."""
    of_rows = [f"r._measurement == {text(series.name)}", f'r.{TIER} == "0"', _any_field(series.fields[:1])]
    one_row = _query(bucket, tick, tick, of_rows, ONE_TABLE, "limit(n: 1)", MARKER_LINES, 'yield(name: "rows")')
    return f'{markers(bucket, tick, tick, series.name)} |> yield(name: "markers")\n{one_row}'


def claims(bucket: str, within: timedelta) -> str:
    """The newest claim of each writer, a line for each field, not older than `within` by the server's clock."""
    return (
        f"from(bucket: {text(bucket)}) |> range(start: -{int(within.total_seconds())}s)"
        f" |> filter(fn: (r) => r._measurement == {text(schema.CLAIM)})"
        f" |> last() |> {_keep('series', 'writer', '_field', '_value')}"
    )


def is_marker(series: Series) -> str:
    """The delete predicate of a series' markers."""
    return f'_measurement={text(schema.MARKER)} AND "series"={text(series.name)}'


def is_row(series: Series) -> str:
    """The delete predicate of a series' rows."""
    return f"_measurement={text(series.name)}"


def _of_markers(series: str | None) -> list[str]:
    measurement = f"r._measurement == {text(schema.MARKER)}"
    return [measurement] if series is None else [measurement, f"r.series == {text(series)}"]


def _any_field(names: Iterable[str]) -> str:
    return f"({' or '.join(f'r._field == {text(name)}' for name in names)})"


def _query(bucket: str, start: datetime, stop: datetime, wanted: Iterable[str], *steps: str) -> str:
    """The points with start <= tick <= stop, after these steps; empty where no whole second lies between the two."""
    # Flux excludes its stop, and refuses an empty range.
    first, last = max(math.ceil(start.timestamp()), 0), min(math.floor(stop.timestamp()) + 1, _LAST_SECOND)
    if first >= last:
        return ""
    times = f"range(start: {first}, stop: {last})"
    return " |> ".join([f"from(bucket: {text(bucket)})", times, f"filter(fn: (r) => {' and '.join(wanted)})", *steps])


def _keep(*columns: str) -> str:
    return f"keep(columns: [{', '.join(text(column) for column in columns)}])"


MARKER_LINES = _keep("_time", "series", "source", "_field", "_value")
