"""An export's bytes as they are made. Each format shows its end: a file without it was cut off.

NDJSON: a line per step, as `/v1/top` answers it, then a line of totals. CSV: a row per asset and step, a row with the
reason for a step without an answer, and a last row that begins with `#end` and has the totals.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any, Literal

import numpy as np
import polars as pl
import structlog
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lib.archive.panel import END
from lib.clock import isoformat
from lib.columns import COLUMNS, POLARS, Kind, extra_columns
from lib.errors import TopcoinsError
from lib.schema import Series
from query_api.asof.top_list import TopList
from query_api.features.export.work import Step, StepGap, Steps, Totals, in_groups
from query_api.http.formats import frame_to_csv, to_json
from query_api.http.json_line import json_line
from query_api.long_work import LongWork

log = structlog.get_logger()

ExportFormat = Literal["csv", "ndjson", "parquet"]
EXPORT_TYPES: dict[ExportFormat, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
CHUNK_ROWS = 2000

Columns = Mapping[str, pl.DataType]

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


class ExportResponse(StreamingResponse):
    """Streams an export. When it fails half-way the connection is closed: neither HTTP's end nor the file's comes.

    `running` counts the export as running until it ends, however it ends.
    """

    def __init__(self, body: AsyncGenerator[bytes, None], steps: Steps, running: ExitStack, **options: Any) -> None:
        super().__init__(body, **options)
        self._steps = steps
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._running:
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._steps.aclose()

    async def stream_response(self, send: Send) -> None:
        """Send it; the server closes a connection whose response was not completed."""
        try:
            await super().stream_response(send)
        except TopcoinsError as exc:
            log.error("export broke off", why=str(exc), kind=type(exc).__name__)


async def to_ndjson(steps: Steps, limit: int, long_work: LongWork) -> AsyncGenerator[bytes, None]:
    """The export as NDJSON."""
    totals = Totals()
    async for group in in_groups(steps, CHUNK_ROWS, totals):
        yield await long_work.in_thread(partial(_lines, group, limit))
    yield json_line({"end": True, **asdict(totals)})


async def to_csv(steps: Steps, columns: Columns, long_work: LongWork) -> AsyncGenerator[bytes, None]:
    """The export as CSV."""
    totals = Totals()
    yield f"{','.join(columns)}\r\n".encode()
    async for group in in_groups(steps, CHUNK_ROWS, totals):
        yield await long_work.in_thread(partial(_csv_rows, group, columns))
    counts = " ".join(f"{name}={count}" for name, count in asdict(totals).items())
    yield f"{END}{',' * (len(columns) - 1)}{counts}\r\n".encode()


def table_columns(extras: Sequence[Series]) -> Columns:
    """The columns of CSV and Parquet: the step, the list's columns, then the snapshots they come from."""
    listed = {each.name: _FILE_TYPES.get(each.kind, POLARS[each.kind]) for each in (*COLUMNS, *extra_columns(extras))}
    return {"step": _TIME, **listed, **_BASIS}


def table(steps: Sequence[Step], columns: Columns) -> pl.DataFrame:
    """The rows of some steps, a row of its own for a gap."""
    times = [name for name, kind in columns.items() if kind == _TIME]
    rows = _text_table(steps, columns)
    return rows.with_columns(pl.col(times).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_zone="UTC", time_unit="us"))


def _text_table(steps: Sequence[Step], columns: Columns) -> pl.DataFrame:
    """The same with times as text. Each column is made once for all the steps, which costs far less than for each."""
    texts = {name: pl.String() if kind == _TIME else kind for name, kind in columns.items()}
    about = {name: texts[name] for name in ("step", *_BASIS)}
    listed = {name: kind for name, kind in texts.items() if name not in about}
    gap = pl.DataFrame({name: [None] for name in listed}, listed)
    rows = [step.rows if isinstance(step, TopList) else gap for step in steps]
    places = np.repeat(np.arange(len(steps)), [len(each) for each in rows])
    facts = pl.DataFrame([_facts(step) for step in steps], about, orient="row")[places]
    return pl.concat([facts, pl.concat(rows)], how="horizontal").select(*columns)


def _facts(step: Step) -> tuple[str | bool | None, ...]:
    """The step, then `_BASIS`."""
    if isinstance(step, StepGap):
        return (isoformat(step.at), *[None] * (len(_BASIS) - 1), step.why)
    price, rank = step.pair.price, step.pair.rank
    times = (isoformat(at) for at in (step.at, price.tick, rank.tick))
    return (*times, price.source, rank.source, step.resolution, price.backfilled, rank.backfilled, None)


def _csv_rows(steps: Sequence[Step], columns: Columns) -> bytes:
    return frame_to_csv(_text_table(steps, columns), header=False)


def _lines(steps: Sequence[Step], limit: int) -> bytes:
    return b"".join(_line(step, limit) for step in steps)


def _line(step: Step, limit: int) -> bytes:
    if isinstance(step, TopList):
        return to_json(step, limit)
    return json_line({"requested_at": isoformat(step.at), "gap": step.why})
