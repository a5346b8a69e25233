"""An export's bytes, as they come. Each format tells its end: a file without it was cut off.

NDJSON: a line a step, the very answer of `/v1/top`, then a line of totals. CSV and Parquet: a row an asset and step, a
step without an answer as a row of its own with the reason; the CSV's last row begins with `#end` and tells the totals,
Parquet's footer is its end.
"""

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import orjson
import polars as pl

from lib.clock import isoformat
from lib.columns import COLUMNS, POLARS, Kind, extra_columns
from lib.schema import Series
from query_api.asof.top_list import TopList
from query_api.features.export.work import Hole, Totals
from query_api.http.formats import cell, to_json
from query_api.http.parquet import to_parquet

ExportFormat = Literal["csv", "ndjson", "parquet"]
EXPORT_TYPES: dict[ExportFormat, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
END = "#end"
"""Where the CSV's step would be, in its last row."""

Steps = AsyncIterator[TopList | Hole]
_TIME = pl.Datetime("us", "UTC")
_FILE_TYPES: Mapping[Kind, pl.DataType] = {Kind.TIME: _TIME}
"""Columns whose type in a file differs from that in an answer."""
_BASIS: Mapping[str, pl.DataType] = {
    "price_time": _TIME,
    "rank_time": _TIME,
    "price_source": pl.String(),
    "rank_source": pl.String(),
    "resolution": pl.String(),
    "price_backfilled": pl.Boolean(),
    "rank_backfilled": pl.Boolean(),
    "gap": pl.String(),
}
"""Columns that say what a step's answer is made from, or why it has none."""


def exported(
    format: ExportFormat, steps: Steps, *, limit: int, extras: Sequence[Series]
) -> AsyncGenerator[bytes, None]:
    """The export in one of its formats."""
    if format == "ndjson":
        return _ndjson(steps, limit)
    schema = table_columns(extras)
    if format == "csv":
        return _csv(steps, schema)
    return to_parquet((_table(step, schema) async for step in steps), schema)


def table_columns(extras: Sequence[Series]) -> dict[str, pl.DataType]:
    """The columns of a table of steps: the step, the list's columns, then the snapshots they come from."""
    listed = {each.name: _FILE_TYPES.get(each.kind, POLARS[each.kind]) for each in (*COLUMNS, *extra_columns(extras))}
    return {"step": _TIME, **listed, **_BASIS}


async def _ndjson(steps: Steps, limit: int) -> AsyncGenerator[bytes, None]:
    totals = Totals()
    async for step in steps:
        totals.add(step)
        if isinstance(step, Hole):
            yield orjson.dumps({"requested_at": isoformat(step.at), "gap": step.why}) + b"\n"
        else:
            yield await asyncio.to_thread(to_json, step, limit) + b"\n"
    yield orjson.dumps({"end": True, **asdict(totals)}) + b"\n"


async def _csv(steps: Steps, schema: Mapping[str, pl.DataType]) -> AsyncGenerator[bytes, None]:
    totals = Totals()
    yield _records([list(schema)])
    async for step in steps:
        totals.add(step)
        yield await asyncio.to_thread(lambda table: _records(table.iter_rows()), _table(step, schema))
    told = " ".join(f"{name}={count}" for name, count in asdict(totals).items())
    yield _records([[END, *[None] * (len(schema) - 2), told]])


def _table(step: TopList | Hole, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if isinstance(step, Hole):
        return pl.DataFrame({"step": [step.at], "gap": [step.why]}, schema_overrides={"step": _TIME}).select(
            pl.col(name) if name in ("step", "gap") else pl.lit(None, kind).alias(name) for name, kind in schema.items()
        )
    price, rank = step.pair.price, step.pair.rank
    backfilled = (price.backfilled, rank.backfilled)
    basis = (price.tick, rank.tick, price.source, rank.source, step.resolution, *backfilled, None)
    return step.rows.with_columns(
        pl.col(column.name for column in COLUMNS if column.kind is Kind.TIME).str.to_datetime(
            "%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us"
        ),
        step=pl.lit(step.at, _TIME),
        **{name: pl.lit(value, schema[name]) for name, value in zip(_BASIS, basis, strict=True)},
    ).select(*schema)


def _records(rows: Iterable[Sequence[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8")
