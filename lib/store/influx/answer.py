"""Reads InfluxDB's answers: CSV with a line per value.

Text that cannot be read raises StoreMalformed, or an error of Python or Polars that `Server.query` translates.
"""

import csv as comma
import io
from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from lib.errors import StoreMalformed
from lib.schema import ID, PRICE, TIER, Series
from lib.store import merged_names
from lib.store.influx.flux import EVER, FOREVER, READY
from lib.store.influx.lines import unescaped
from lib.times import TIME


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
        return pl.DataFrame(schema={"tick": TIME, **series.columns})
    tags = [*times, ID, *series.tags, TIER]
    index = [name for name in tags if name in values.columns]
    wide = values.pivot("_field", on_columns=series.fields, index=index, values="_value", aggregate_function="first")
    # One eager selection: a lazy plan of so few rows takes longer to make than to run.
    return wide.select(_column(name, kind, wide) for name, kind in {"tick": TIME, **series.columns}.items())


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


def check_ready(csv: str) -> None:
    """StoreMalformed when the answer lacks the line that `flux.ready` always asks for."""
    if not any(values_of(csv, READY, other_tables=True)):
        raise StoreMalformed(f"this is no answer of InfluxDB: {csv[:80]!r}")


def asset_names(csv: str) -> pl.DataFrame:
    """The names of assets, each with the first and the last of its times."""
    values = table(csv)
    if values.is_empty():
        return merged_names([])
    tags = [unescaped(name) if name in values.columns else pl.lit(None, pl.String).alias(name) for name in PRICE.tags]
    time = pl.col("_time").str.to_datetime(time_unit="us", time_zone="UTC")
    return merged_names([values.select(pl.col(ID).cast(pl.Int64), *tags, time.alias("first"), time.alias("last"))])


def times(csv: str) -> list[datetime]:
    """The `_time` of each line."""
    return [parse_time(text) for (text,) in values_of(csv, "_time")]


def numbers(csv: str) -> list[float]:
    """The `_value` of each line."""
    return [float(value) for (value,) in values_of(csv, "_value")]


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


def parse_time(text: str) -> datetime:
    """A time of an answer."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not EVER <= at <= FOREVER:
        raise ValueError(f"{text} is no time of InfluxDB, such as 2026-11-17T14:05:00Z")
    return at
