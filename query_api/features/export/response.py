"""An export's bytes as they are made: a row per asset and step, and one with the reason for a step without an answer.

Each format shows its end: a file without it was cut off. NDJSON ends with a line of totals, CSV with a row that begins
with `#end` and has them in its last cell, Parquet with its footer.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lib.archive.panel import END, Totals
from lib.clock import isoformat
from lib.columns import COLUMNS, MORE, POLARS, RANK, Kind, extra_columns, names
from lib.errors import TopcoinsError
from lib.schema import Series
from lib.times import TIME
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import TopList
from query_api.features.export.work import Step, Steps, in_groups
from query_api.http.formats import cells_to_csv, frame_to_ndjson, to_cell, to_cells
from query_api.http.json_line import json_line
from query_api.http.parquet_files import with_times
from query_api.long_work import LongWork

log = structlog.get_logger()

Columns = Mapping[str, pl.DataType]

_BASIS: Mapping[str, pl.DataType] = {
    "price_time": TIME,
    "rank_time": TIME,
    "price_source": pl.String(),
    "rank_source": pl.String(),
    "resolution": pl.String(),
    "price_backfilled": pl.Boolean(),
    "rank_backfilled": pl.Boolean(),
    "price_snapshot": pl.String(),
    "rank_snapshot": pl.String(),
    "gap": pl.String(),
}
"""What a step's answer is made from, or why it has none."""
_ABOUT = {"step": pl.String(), **{name: pl.String() if kind == TIME else kind for name, kind in _BASIS.items()}}
_ON_REQUEST = ("price_snapshot", "rank_snapshot", *names(MORE))
"""Columns that an export has only where `columns` names them: long texts, and what costs further reads."""


class ExportResponse(StreamingResponse):
    """Streams an export. When it fails half-way the connection is closed: neither HTTP's end nor the file's comes.

    `running` counts the export as running and has its steps, which it closes when it ends, however it ends.
    """

    def __init__(self, body: AsyncGenerator[bytes, None], running: AsyncExitStack, **options: Any) -> None:
        super().__init__(body, **options)
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._running:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send it; the server closes a connection whose response was not completed."""
        try:
            await super().stream_response(send)
        except TopcoinsError as exc:
            log.error("export broke off", why=str(exc), kind=type(exc).__name__)


async def to_ndjson(steps: Steps, columns: Columns, totals: Totals, long_work: LongWork) -> AsyncGenerator[bytes, None]:
    """The export as NDJSON. Counts the steps in `totals`."""
    async for group in in_groups(steps, totals):
        yield await long_work.in_thread(partial(_lines, group, columns))
    yield json_line({"end": True, **totals.fields})


async def to_csv(steps: Steps, columns: Columns, totals: Totals, long_work: LongWork) -> AsyncGenerator[bytes, None]:
    """The export as CSV. Counts the steps in `totals`."""
    yield f"{','.join(columns)}\r\n".encode()
    async for group in in_groups(steps, totals):
        yield await long_work.in_thread(partial(_csv_rows, group, columns))
    yield f"{END}{',' * (len(columns) - 1)}{totals.text}\r\n".encode()


def all_columns(extras: Sequence[Series]) -> Columns:
    """All columns there are: the step, the list's columns, then the snapshots they come from."""
    further = extra_columns(extras)
    more = [column for column in MORE if column.name not in names(further)]
    types = {**POLARS, Kind.TIME: TIME}
    listed = {each.name: types[each.kind] for each in (*COLUMNS, *further, *more)}
    return {"step": TIME, **listed, **_BASIS}


def chosen_columns(chosen: Sequence[str] | None, extras: Sequence[Series]) -> Columns:
    """The columns that a request names, between the step and the gap; by default all but those on request."""
    known, own = all_columns(extras), names(extra_columns(extras))
    if chosen is None:
        chosen = [name for name in known if name in own or name not in _ON_REQUEST]
    return {name: known[name] for name in ("step", *(name for name in chosen if name not in ("step", "gap")), "gap")}


def table(steps: Sequence[Step], columns: Columns) -> pl.DataFrame:
    """The rows of some steps, a row of its own for a gap."""
    return with_times(_text_table(steps, columns), [name for name, kind in columns.items() if kind == TIME])


def _text_table(steps: Sequence[Step], columns: Columns) -> pl.DataFrame:
    """The same with times as text. Each column is made once for all the steps, which costs far less than for each."""
    rows, places = _listed(steps, columns)
    facts = pl.DataFrame([_facts(step) for step in steps], _ABOUT, orient="row")[places]
    return pl.concat([facts, rows], how="horizontal").select(*columns)


def _listed(steps: Sequence[Step], columns: Columns) -> tuple[pl.DataFrame, NDArray[np.intp]]:
    """The columns of the list, of all steps, and the number of the step of each row."""
    texts = {name: pl.String() if kind == TIME else kind for name, kind in columns.items()}
    listed = {RANK.name: POLARS[RANK.kind]} | {name: kind for name, kind in texts.items() if name not in _ABOUT}
    gap = pl.DataFrame({name: [None] for name in listed}, listed)
    rows = [step.rows[list(listed)] if isinstance(step, TopList) else gap for step in steps]
    return pl.concat(rows, rechunk=True), np.repeat(np.arange(len(steps)), [len(each) for each in rows])


def _facts(step: Step) -> tuple[str | bool | None, ...]:
    """The step, then `_BASIS`."""
    if isinstance(step, NoSnapshot):
        return (isoformat(step.at), *[None] * (len(_BASIS) - 1), str(step))
    price, rank = step.pair.price, step.pair.rank
    times = (isoformat(at) for at in (step.at, price.tick, rank.tick))
    flags = price.backfilled, rank.backfilled
    return (*times, price.source, rank.source, step.resolution, *flags, price.hash or None, rank.hash or None, None)


def _csv_rows(steps: Sequence[Step], columns: Columns) -> bytes:
    """The rows as CSV. Neighbouring facts of a step are one text, which is made once for all its rows."""
    rows, places = _listed(steps, columns)
    facts = [dict(zip(_ABOUT, map(to_cell, _facts(step)), strict=True)) for step in steps]
    cells: list[pl.Series] = []
    for are_facts, some in groupby(columns, _ABOUT.__contains__):
        run = list(some)
        if are_facts:
            texts = [",".join([each[name] for name in run]) for each in facts]
            cells.append(pl.Series(run[0], texts, pl.String)[places])
        else:
            cells += [to_cells(rows[name]) for name in run]
    return cells_to_csv(cells)


def _lines(steps: Sequence[Step], columns: Columns) -> bytes:
    return frame_to_ndjson(_text_table(steps, columns))
