"""Line protocol: a snapshot's rows and its marker as the bytes that InfluxDB reads. Polars makes them, for speed."""

import re
from datetime import datetime, timedelta

import polars as pl

from lib import schema
from lib.schema import ID, TIER
from lib.snapshot import Marker, Snapshot

TAIL = "\u2060"
"""An invisible joiner. It is added after a backslash at the end of a tag, which would escape the next character."""

_CONTROL = r"[\x00-\x1f\x7f]"


def rows(snapshot: Snapshot) -> bytes:
    """One line per row. A missing tag or field is omitted, and so is a row without any field."""
    series = snapshot.series
    # With sorted tags the server need not sort them.
    tags = [_tag(name) for name in sorted([ID, *series.tags, TIER])]
    fields = [pl.format(f"{name}={{}}", pl.col(name)) for name in series.fields]
    rows = snapshot.rows.lazy().filter(pl.any_horizontal(pl.col(series.fields).is_not_null()))
    lines = rows.select(
        pl.concat_str(
            pl.lit(series.name),
            *tags,
            pl.lit(" "),
            pl.concat_str(fields, separator=",", ignore_nulls=True),
            pl.lit(f" {int(snapshot.tick.timestamp())}"),
            ignore_nulls=True,
        ).alias("line")
    ).collect()
    return "\n".join(lines["line"]).encode()


def marker(marker: Marker) -> bytes:
    """The marker's one line."""
    values = {
        "assets": marker.assets,
        "rejected": marker.rejected,
        "duplicates": marker.duplicates,
        "duration_s": marker.duration / timedelta(seconds=1),
        "observed_at": marker.observed_at.timestamp(),
        "credits": marker.credits,
        "interval_s": marker.interval / timedelta(seconds=1),
        "unchanged": marker.unchanged,
        "backfilled": marker.backfilled,
        "stored_at": marker.visible_since.timestamp(),
    }
    fields = ",".join(f"{name}={float(value)!r}" for name, value in values.items())
    fields += f',ids="{marker.ids}"' + (f',hash="{marker.hash}"' if marker.hash else "")
    fields += ",new_level=1.0" if marker.new_level else ""
    fields += f",{_withdrawal_fields(marker)}" if marker.withdrawn_at else ""
    return _marker_line(marker, fields)


def withdrawal(marker: Marker) -> bytes:
    """The fields that a withdrawal or its undoing adds to a marker's point. A field cannot be deleted: 0 is none."""
    return _marker_line(marker, _withdrawal_fields(marker))


def _withdrawal_fields(marker: Marker) -> str:
    times = {"withdrawn_at": marker.withdrawn_at, "restored_at": marker.restored_at}
    fields = ",".join(f"{name}={at.timestamp() if at else 0.0!r}" for name, at in times.items())
    why = re.sub(_CONTROL, " ", marker.withdrawn_why or "").replace("\\", "\\\\").replace('"', '\\"')
    return f'{fields},withdrawn_why="{why}"'


def _marker_line(marker: Marker, fields: str) -> bytes:
    tags = f"series={_escaped(marker.series)},source={_escaped(marker.source)}"
    return f"{schema.MARKER},{tags} {fields} {int(marker.tick.timestamp())}".encode()


def claim(series: str, writer: str, tick: datetime | None, at: datetime) -> bytes:
    """A writer's claim on a tick, made at an instant of its own clock; None gives it up.

    The server adds its own time to the line.
    """
    claimed = tick.timestamp() if tick else 0.0
    return f"{schema.CLAIM},series={_escaped(series)},writer={writer} tick={claimed!r},at={at.timestamp()!r}".encode()


def unescaped(tag: str) -> pl.Expr:
    """A tag's column as it was before `rows` escaped it."""
    return pl.col(tag).str.replace(rf"\\{TAIL}$", "\\")


def _tag(name: str) -> pl.Expr:
    """`,name=value`, or null where there is no value: InfluxDB has no empty tags."""
    if name in (ID, TIER):
        return pl.format(f",{name}={{}}", pl.col(name))
    # A tag cannot contain a line break: control characters become spaces.
    text = pl.col(name).str.replace_all(_CONTROL, " ").str.replace(r"\\$", f"\\{TAIL}")
    escaped = text.str.replace_all(r"([ ,=])", r"\$1")
    return pl.when(pl.col(name) != "").then(pl.format(f",{name}={{}}", escaped))


def _escaped(value: str) -> str:
    return re.sub(r"([ ,=])", r"\\\1", value)
