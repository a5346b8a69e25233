"""InfluxDB's CSV, a line per value, turned into rows and markers."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import polars as pl
from polars.exceptions import PolarsError

from lib.clock import from_epoch
from lib.errors import StoreMalformed
from lib.schema import ID, TIER, Series
from lib.snapshot import Marker
from lib.store.influx.lines import unescaped

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


def rows(csv: str, series: Series) -> pl.DataFrame:
    """The series' rows, sorted by id, one for each."""
    # A tick written twice with other tags leaves both rows in the hourly bucket, where nothing is deleted.
    found = _wide(csv, series, [])
    return found.drop("tick").unique(ID, keep="first", maintain_order=True).sort(ID)


def rows_by_tick(csv: str, series: Series, ticks: Sequence[datetime]) -> dict[datetime, pl.DataFrame]:
    """The rows of each of these ticks, as `rows` gives them."""
    found = _wide(csv, series, ["_time"]).unique(["tick", ID], keep="first", maintain_order=True).sort(ID)
    parts = found.partition_by("tick", include_key=False, as_dict=True)
    return {tick: parts.get((tick,), series.empty()) for tick in ticks}


def history(csv: str, series: Series, ticks: Sequence[datetime]) -> pl.DataFrame:
    """The rows of these ticks, one for each, oldest first."""
    found = _wide(csv, series, ["_time"])
    return found.filter(pl.col("tick").is_in(ticks)).unique("tick", keep="first", maintain_order=True).sort("tick")


def _wide(csv: str, series: Series, times: list[str]) -> pl.DataFrame:
    """A row for each asset, and each of the `times` where they are told."""
    kinds = {"tick": pl.Datetime("us", "UTC"), **series.columns}
    values = table(csv)
    if values.is_empty():
        return pl.DataFrame(schema=kinds)
    tags = [*times, ID, *series.tags, TIER]
    try:
        found = values.with_columns(pl.lit(None, pl.String).alias(n) for n in tags if n not in values.columns).pivot(
            "_field", index=tags, values="_value", aggregate_function="first"
        )
        found = found.with_columns(pl.lit(None).alias(n) for n in (*series.fields, "_time") if n not in found.columns)
        return (
            found.lazy()
            .with_columns(unescaped(tag) for tag in series.tags)
            .with_columns(
                pl.col("_time").cast(pl.String).str.to_datetime(time_unit="us", time_zone="UTC").alias("tick")
            )
            .select(pl.col(name).cast(kind) for name, kind in kinds.items())
            .collect()
        )
    except PolarsError as exc:
        raise StoreMalformed(f"the {series.name} points in InfluxDB are not topcoins' own: {exc}") from exc


def markers(csv: str) -> list[Marker]:
    """The markers that have all their fields, oldest first; of two for one tick, the one known first."""
    found: dict[tuple[datetime, str], Marker] = {}
    for marker in sorted(_complete(table(csv)), key=lambda marker: (marker.tick, marker.series, marker.known_since)):
        found.setdefault((marker.tick, marker.series), marker)
    return list(found.values())


def table(csv: str) -> pl.DataFrame:
    """The answer as text columns; a table of its own header each time the columns change."""
    parts = [part for part in csv.split("\r\n\r\n") if part.strip()]
    try:
        read = [pl.read_csv(part.encode(), infer_schema=False) for part in parts]
    except PolarsError as exc:
        raise StoreMalformed(f"InfluxDB's answer is not CSV: {exc}") from exc
    if any("result" not in part.columns for part in read):
        raise StoreMalformed(f"this is not an answer of InfluxDB: {csv[:80]!r}")
    return pl.concat(read, how="diagonal") if read else pl.DataFrame()


def times(csv: str) -> list[datetime]:
    """The `_time` of each line."""
    values = table(csv)
    return [] if values.is_empty() else [datetime.fromisoformat(time) for time in values["_time"]]


def numbers(csv: str) -> list[float]:
    """The `_value` of each line."""
    values = table(csv)
    return [] if values.is_empty() else [float(value) for value in values["_value"]]


def writers(csv: str, tick: datetime) -> set[str]:
    """Who claims a tick."""
    values = table(csv)
    if values.is_empty():
        return set()
    if not {"writer", "_value"} <= set(values.columns):
        raise StoreMalformed(f"these are no claims: {csv[:80]!r}")
    claims = zip(values["writer"], values["_value"], strict=True)
    return {writer for writer, stands_for in claims if float(stands_for) == tick.timestamp()}


def _complete(values: pl.DataFrame) -> Iterator[Marker]:
    if not {"_time", "series", "source"} <= set(values.columns):
        return
    points: dict[tuple[str, str, str], dict[str, str]] = {}
    for time, series, source, field, value in values.select(
        "_time", "series", "source", "_field", "_value"
    ).iter_rows():
        points.setdefault((time, series, source), {})[field] = value
    for (time, series, source), fields in points.items():
        if "ids" in fields and all(name in fields for name in _NUMBERS):
            yield _marker(datetime.fromisoformat(time), series, source, fields)


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
        interval=timedelta(seconds=number["interval_s"]),
        unchanged=bool(number["unchanged"]),
        backfilled=bool(number["backfilled"]),
        ids=fields["ids"],
        hash=fields.get("hash", ""),
    )
    stored_at = fields.get("stored_at")
    return marker.stamped(from_epoch(float(stored_at)) if stored_at else marker.known_since)
