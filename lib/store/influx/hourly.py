"""The downsampling: a Flux script that the server runs. It copies the first snapshot of each hour unchanged."""

from datetime import timedelta

from lib import schema
from lib.store.influx.flux import hourly, text

TASK = "topcoins_hourly"
EVERY = timedelta(minutes=10)
AT_ONCE = 24
"""Snapshots per run, a day's worth of one series, so that no run takes long."""

_SCRIPT = """\
import "date"

since = {since}

// The one field every marker has stands for it; its value distinguishes two writings of a tick.
markers = (bucket) => from(bucket: bucket)
    |> range(start: since)
    |> filter(fn: (r) => r._measurement == {marker} and r._field == "observed_at")
shown = (tables=<-) => tables
    |> keep(columns: ["_time", "_value", "series", "source"])

// Right after the filter the storage itself picks the first of each window; of two sources, the earlier is left.
firsts = markers(bucket: {raw})
    |> window(every: 1h)
    |> first()
    |> shown()
    |> group(columns: ["series"])
    |> sort(columns: ["_time"])
    |> window(every: 1h)
    |> first()
    |> map(fn: (r) => ({{r with side: "raw"}}))
kept = markers(bucket: {hourly})
    |> shown()
    |> map(fn: (r) => ({{r with side: "hourly"}}))

// What the hourly bucket lacks, or has from an earlier writing: late and backfilled ticks too. The oldest first.
missing = union(tables: [firsts, kept])
    |> group()
    |> pivot(rowKey: ["_time", "series", "source"], columnKey: ["side"], valueColumn: "_value")
    |> filter(fn: (r) => exists r.raw and (not exists r.hourly or r.hourly != r.raw))
    |> sort(columns: ["_time"])
    |> limit(n: {at_once})
names = missing |> findColumn(fn: (key) => true, column: "series")
ticks = missing |> findColumn(fn: (key) => true, column: "_time")

// The n-th missing snapshot; past the last one there is nothing to copy, from a second when nothing was.
tick = (n) => if n < length(arr: ticks) then ticks[n] else 1970-01-01T00:00:00Z
name = (n) => if n < length(arr: names) then names[n] else ""
points = (n) => from(bucket: {raw})
    |> range(start: tick(n: n), stop: date.add(d: 1s, to: tick(n: n)))
rows = (n) => points(n: n)
    |> filter(fn: (r) => r._measurement == name(n: n))
    |> group(columns: ["_measurement"])
    |> to(bucket: {hourly})
    |> count()
    |> findColumn(fn: (key) => true, column: "_value")
// Looking into the count makes the rows be written now, and the marker after them. A marker that has lost its rows is
// copied too: it is as broken there, and does not hold up the ones after it for ever.
copy = (n) => {{
    written = length(arr: rows(n: n))

    return points(n: n)
        |> filter(fn: (r) => r._measurement == {marker} and r.series == name(n: n) and written >= 0)
        |> to(bucket: {hourly})
}}

{copies}
"""


def script(bucket: str, *, retention: timedelta | None) -> str:
    """Copies missing snapshots of the retention, or of all time, `AT_ONCE` per run."""
    # The retention cut the oldest hour in two, and its first tick is gone: begin with the next hour.
    since = f"date.truncate(t: date.add(d: 1h, to: {_ago(retention)}), unit: 1h)" if retention else "0"
    return _SCRIPT.format(
        since=since,
        marker=text(schema.MARKER),
        raw=text(bucket),
        hourly=text(hourly(bucket)),
        at_once=AT_ONCE,
        copies="\n".join(f'copy(n: {n}) |> yield(name: "{n}")' for n in range(AT_ONCE)),
    )


def task(bucket: str, retention: timedelta | None) -> str:
    """The script as a task of the server."""
    option = f"option task = {{name: {text(TASK)}, every: {EVERY.seconds}s, offset: 30s}}"
    imports, body = script(bucket, retention=retention).split("\n", 1)
    return f"{imports}\n\n{option}\n{body}"


def _ago(retention: timedelta) -> str:
    return f"date.sub(d: {int(retention.total_seconds())}s, from: now())"
