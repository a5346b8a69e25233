"""Turns InfluxDB's CSV, a line per value, into rows and markers.

Text that cannot be read raises StoreMalformed, or an error of Python or Polars that `Server.query` translates.
"""

import csv as comma
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

from lib.clock import from_epoch
from lib.errors import StoreMalformed
from lib.schema import ID, PRICE, TIER, Series
from lib.snapshot import Marker, StoredTick
from lib.store import asset_names as names
from lib.store.influx.flux import EVER, FOREVER, READY
from lib.store.influx.lines import unescaped

LONGEST_INTERVAL = timedelta(days=366)

_TICK = pl.Datetime("us", "UTC")
_NUMBERS = (
    "assets",
    "rejected",
    "duplicates",
    "duration_s",
    "observed_at",
    "credits",
    "interval_s",
    "unchanged",
    "backfilled",
)


def rows_by_tick(csv: str, series: Series, ticks: Sequence[datetime]) -> dict[datetime, pl.DataFrame]:
    """The rows of each of these ticks, sorted by id, one for each id. Of one tick the answer has no `_time`."""
    if len(ticks) == 1:
        return {ticks[0]: _one_each(_wide(csv, series, []), [ID]).drop("tick")}
    all_rows = _one_each(_wide(csv, series, ["_time"]), ["tick", ID])
    parts = all_rows.partition_by("tick", include_key=False, as_dict=True)
    return {tick: parts.get((tick,), series.empty()) for tick in ticks}


def history(csv: str, series: Series, ticks: Sequence[datetime]) -> pl.DataFrame:
    """The rows of these ticks, one for each tick, oldest first."""
    return _one_each(_wide(csv, series, ["_time"]).filter(pl.col("tick").is_in(ticks)), ["tick"])


def _one_each(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Sorted by the keys, the first row of each.

    A tick that was written twice with other tags has both rows in the hourly bucket, where nothing is deleted.
    """
    return rows.sort(keys, maintain_order=True).unique(keys, keep="first", maintain_order=True)


def _wide(csv: str, series: Series, times: list[str]) -> pl.DataFrame:
    """A row for each asset, and for each of the `times` where the answer has them."""
    values = table(csv)
    if values.is_empty():
        return pl.DataFrame(schema={"tick": _TICK, **series.columns})
    tags = [*times, ID, *series.tags, TIER]
    index = [name for name in tags if name in values.columns]
    wide = values.pivot("_field", on_columns=series.fields, index=index, values="_value", aggregate_function="first")
    # One eager selection: a lazy plan of so few rows takes longer to make than to run.
    return wide.select(_column(name, kind, wide) for name, kind in {"tick": _TICK, **series.columns}.items())


def _column(name: str, kind: pl.DataType, wide: pl.DataFrame) -> pl.Expr:
    if name == "tick" and "_time" in wide.columns:
        return pl.col("_time").str.to_datetime(time_unit="us", time_zone="UTC").alias(name)
    if name not in wide.columns:
        return pl.lit(None, kind).alias(name)
    return unescaped(name) if kind == pl.String() else pl.col(name).cast(kind)


def table(csv: str) -> pl.DataFrame:
    """The answer as text columns."""
    tables = [pl.read_csv(part.encode(), infer_schema=False) for part in _parts(csv)]
    return pl.concat(tables, how="diagonal") if tables else pl.DataFrame()


def markers(csv: str) -> list[Marker]:
    """The markers that have all their fields, oldest first; of two for one tick, the one stored first."""
    first: dict[tuple[datetime, str], Marker] = {}
    for marker in sorted(_complete(csv), key=lambda marker: (marker.tick, marker.series, marker.visible_since)):
        first.setdefault((marker.tick, marker.series), marker)
    return list(first.values())


def leftovers(csv: str) -> tuple[bool, list[Marker]]:
    """Whether there is any line, and the markers among the lines."""
    return bool(csv.strip()), markers(csv)


def check_ready(csv: str) -> None:
    """StoreMalformed when the answer lacks the line that `flux.ready` always asks for."""
    if not any(values_of(csv, READY, other_tables=True)):
        raise StoreMalformed(f"this is no answer of InfluxDB: {csv[:80]!r}")


def asset_names(csv: str) -> pl.DataFrame:
    """The names of assets, each with the first and the last of its times."""
    values = table(csv)
    if values.is_empty():
        return names.merged_names([])
    tags = [unescaped(name) if name in values.columns else pl.lit(None, pl.String).alias(name) for name in PRICE.tags]
    time = pl.col("_time").str.to_datetime(time_unit="us", time_zone="UTC")
    return names.merged_names(
        [values.select(pl.col(ID).cast(pl.Int64), *tags, time.alias("first"), time.alias("last"))]
    )


def times(csv: str) -> list[datetime]:
    """The `_time` of each line."""
    return [_time(text) for (text,) in values_of(csv, "_time")]


def stored_ticks(csv: str) -> tuple[list[StoredTick], bool]:
    """The ticks, oldest first, and whether any was backfilled: which ones, only `flux.backfilled` answers."""
    if not csv.strip():
        return [], False
    points = _first_stored(table(csv)).unique(["_time", "_field"], keep="first")
    sources = ["source"] if "source" in points.columns else []
    ticks = points.filter(pl.col("_field") == "interval_s").sort("_time")
    rest = points.filter(pl.col("_field") != "interval_s")
    values = rest.select("_time", "_field", "_value").iter_rows()
    flags = {(time, field): float(value) for time, field, value in values if float(value)}
    withdrawn = {time for time, field in flags if field == "withdrawn_at" and (time, "restored_at") not in flags}
    stored = [
        StoredTick(_time(at), _interval(text), False, at in withdrawn, *source, *_known(flags, at))
        for at, text, *source in ticks.select("_time", "_value", *sources).iter_rows()
    ]
    return stored, any(field == "backfilled" for _, field in flags)


def _first_stored(points: pl.DataFrame) -> pl.DataFrame:
    """The lines of markers; where a tick has markers of several sources, those of the one stored first come first."""
    if "source" not in points.columns or points["source"].drop_nulls().n_unique() < 2:
        return points
    stored_at = pl.col("_value").filter(pl.col("_field") == "stored_at").cast(pl.Float64).min()
    return points.sort(stored_at.over("_time", "source"), nulls_last=True, maintain_order=True)


def _known(flags: Mapping[tuple[str, str], float], at: str) -> Iterator[datetime | None]:
    """Since when a tick is visible, if that was read, and the times of its withdrawal."""
    seconds = flags.get((at, "stored_at")) or flags.get((at, "observed_at"))
    for each in (seconds, flags.get((at, "withdrawn_at")), flags.get((at, "restored_at"))) if seconds else ():
        yield from_epoch(each) if each else None


def ticks(csv: str, known_at: datetime | None) -> dict[datetime, bool]:
    """The ticks of the markers visible at `known_at`, oldest first, and whether each answers: it is not withdrawn."""
    known = known_at.timestamp() if known_at else math.inf
    points: dict[datetime, dict[str, float]] = {}
    for time, field, value in values_of(csv, "_time", "_field", "_value"):
        points.setdefault(_time(time), {})[field] = float(value)
    visible = {tick: point for tick, point in sorted(points.items()) if _visible_since(point) <= known}
    return {
        tick: not _reached(point, "withdrawn_at", known) or _reached(point, "restored_at", known)
        for tick, point in visible.items()
    }


def _visible_since(point: dict[str, float]) -> float:
    return point.get("stored_at", point["observed_at"]) if "observed_at" in point else math.nan


def _reached(point: dict[str, float], field: str, known: float) -> bool:
    """Whether a time is not after `known`; 0 stands for none."""
    return 0 < point.get(field, 0) <= known


def numbers(csv: str) -> list[float]:
    """The `_value` of each line."""
    return [float(value) for (value,) in values_of(csv, "_value")]


def _complete(csv: str) -> Iterator[Marker]:
    points: dict[tuple[str, ...], dict[str, str]] = {}
    for *point, field, value in values_of(csv, "_time", "series", "source", "_field", "_value", other_tables=True):
        points.setdefault(tuple(point), {})[field] = value
    for (time, series, source), fields in points.items():
        if "ids" in fields and all(name in fields for name in _NUMBERS):
            yield _marker(_time(time), series, source, fields)


def values_of(csv: str, *columns: str, other_tables: bool = False) -> Iterator[list[str]]:
    """These columns of each line. For few lines this costs less than a frame.

    A table that lacks one of them is malformed; with `other_tables` it is ignored.
    """
    for part in _parts(csv):
        lines = comma.reader(io.StringIO(part, newline=""))
        header = next(lines)
        if not set(columns) <= set(header):
            if other_tables:
                continue
            raise StoreMalformed(f"InfluxDB's answer has no {' and '.join(columns)}: {part[:80]!r}")
        places = [header.index(name) for name in columns]
        for line in lines:
            if len(line) != len(header):
                raise StoreMalformed(f"InfluxDB's answer is not CSV: {','.join(line)[:80]!r}")
            yield [line[place] for place in places]


def _parts(csv: str) -> list[str]:
    """The tables, each with its header: there is a new one each time the columns change."""
    # An empty line ends a table; a table without lines is an empty line.
    parts = [part for part in (part.strip("\r\n") for part in csv.split("\r\n\r\n")) if part]
    if any("result" not in part.partition("\r\n")[0].split(",") for part in parts):
        raise StoreMalformed(f"this is no answer of InfluxDB: {csv[:80]!r}")
    return parts


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not EVER <= at <= FOREVER:
        raise ValueError(f"{text} is no time of InfluxDB, such as 2026-11-17T14:05:00Z")
    return at


@lru_cache(maxsize=64)  # ten thousand ticks share few intervals
def _interval(text: str) -> timedelta:
    interval = timedelta(seconds=float(text))
    if not timedelta() < interval <= LONGEST_INTERVAL:
        raise ValueError(f"interval_s={text} is no time between two ticks, such as 60")
    return interval


def _marker(tick: datetime, series: str, source: str, fields: dict[str, str]) -> Marker:
    number = {name: float(fields[name]) for name in _NUMBERS}
    marker = Marker(
        series=series,
        source=source,
        tick=tick,
        assets=int(number["assets"]),
        rejected=int(number["rejected"]),
        duplicates=int(number["duplicates"]),
        duration=timedelta(seconds=number["duration_s"]),
        observed_at=from_epoch(number["observed_at"]),
        credits=number["credits"],
        interval=_interval(fields["interval_s"]),
        unchanged=bool(number["unchanged"]),
        backfilled=bool(number["backfilled"]),
        ids=fields["ids"],
        hash=fields.get("hash", ""),
        stored_at=_optional_time(fields, "stored_at"),
        withdrawn_at=_optional_time(fields, "withdrawn_at"),
        restored_at=_optional_time(fields, "restored_at"),
        withdrawn_why=fields.get("withdrawn_why"),
        new_level=bool(float(fields.get("new_level") or 0)),
    )
    return marker.with_stored_at(marker.visible_since)


def _optional_time(fields: dict[str, str], name: str) -> datetime | None:
    """An optional time; 0 is none."""
    seconds = float(fields.get(name) or 0)
    return from_epoch(seconds) if seconds else None
