"""One export: what it asks for, and the response that sends its file."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from fastapi import Request
from starlette.responses import Response

from lib.archive.panel import Totals
from lib.clock import isoformat
from lib.instants import Span
from lib.version import VERSION
from query_api.asof.top_list import ListQuery
from query_api.features.export.response import Columns, ExportResponse, table, to_csv, to_ndjson
from query_api.features.export.work import Step, Steps, after_first, in_groups, read_steps
from query_api.http.client import client_of
from query_api.http.content_type import MEDIA_TYPES, TableFormat
from query_api.http.parquet_files import KEEP_S, metadata
from query_api.http.row_answer import file_headers, permalink
from query_api.long_work import LongWork
from query_api.services import Services

ROW_GROUP = 10_000
FRESH_S = 60.0
"""So long after it was made a Parquet file answers the same request again; reads of its ranges find it for `KEEP_S`."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """A request for a file. All steps ignore what is stored after `read_at`: an export takes a while."""

    request: Request
    services: Services
    span: Span
    every: str
    query: ListQuery
    columns: Columns
    format: TableFormat
    read_at: datetime
    totals: Totals

    async def respond(self) -> Response:
        """The response. Parquet is made whole first; the other formats are sent while they are made."""
        if self.format == "parquet":
            return await self._parquet()
        options: dict[str, Any] = {"headers": self._headers(self.read_at), "media_type": MEDIA_TYPES[self.format]}
        if self.request.method == "HEAD":
            return _without_length(Response(**options))
        long_work = self.services.long_work
        async with AsyncExitStack() as running:
            running.enter_context(long_work.request(client_of(self.request.scope)))
            steps = await running.enter_async_context(aclosing(await after_first(self._steps())))
            write = to_csv if self.format == "csv" else to_ndjson
            body = write(steps, self.columns, self.totals, long_work)
            return ExportResponse(body, running.pop_all(), **options)

    def _steps(self) -> Steps:
        return read_steps(self.services.lists, self.span, self.query, self.services.long_work)

    async def _parquet(self) -> Response:
        files = self.services.parquet_files
        file = files.find(self.request, KEEP_S if "range" in self.request.headers else FRESH_S)
        if file is None:
            with self.services.long_work.request(client_of(self.request.scope)):
                file = await files.make(self.request, self._write)
        return file.response(self.request)

    async def _write(self, path: Path) -> Mapping[str, str]:
        """Write the file. Its `known_at` depends on its content alone, so that another worker writes the same file."""
        await write_parquet(path, self._steps(), self.columns, self.totals, self.services.long_work, self._about)
        return self._headers(self._gives_again)

    @property
    def _gives_again(self) -> datetime:
        return self.totals.gives_again or self.span.stop

    def _about(self) -> dict[str, object]:
        """The metadata of a Parquet file."""
        return {
            "question": self._link(self._gives_again),
            "from": isoformat(self.span.start),
            "to": isoformat(self.span.stop),
            "every": self.every,
            "top": self.query.limit,
            "notice": self.services.notice,
            "version": VERSION,
            **self.totals.fields,
        }

    def _headers(self, known_at: datetime) -> dict[str, str]:
        span = self.span
        name = f"topcoins-{span.start:%Y%m%dT%H%M%SZ}-{span.steps}.{self.format}"
        return {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="{name}"',
            "x-from": isoformat(span.start),
            "x-to": isoformat(span.stop),
            "x-steps": str(span.steps),
            "x-known-at": isoformat(known_at),
            **file_headers(self.request, self._link(known_at)),
        }

    def _link(self, known_at: datetime) -> str:
        ends = {"from": isoformat(self.span.start), "to": isoformat(self.span.stop)}
        return permalink(self.request, ends | {"known_at": isoformat(known_at)})


def _without_length(response: Response) -> Response:
    """A response to HEAD whose GET has a body of unknown length."""
    del response.headers["content-length"]
    return response


async def write_parquet(
    whole: Path,
    steps: Steps,
    columns: Columns,
    totals: Totals,
    long_work: LongWork,
    about: Callable[[], Mapping[str, object]],
) -> None:
    """Write a file for each group of rows, then one of all. `about` makes its metadata once the totals are counted.

    No thread waits for the store, and memory stays flat.
    """
    parts = [whole.with_name("0")]
    pl.DataFrame(schema=columns).write_parquet(parts[0])
    async with aclosing(steps):
        async for group in in_groups(steps, totals):
            parts.append(whole.with_name(str(len(parts))))
            await long_work.in_thread(partial(_write_part, group, columns, parts[-1]))
    await long_work.in_thread(lambda: _join(parts, whole, about()))


def _write_part(group: Sequence[Step], columns: Columns, file: Path) -> None:
    table(group, columns).write_parquet(file)


def _join(parts: list[Path], whole: Path, about: Mapping[str, object]) -> None:
    pl.scan_parquet(parts).sink_parquet(whole, metadata=metadata(about), maintain_order=True, row_group_size=ROW_GROUP)
    for part in parts:
        part.unlink()
