"""An answer that has rows, in each of its formats, and the address that gives it again."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import polars as pl
from fastapi import Request
from starlette.responses import Response

from lib.text_table import TextTable, to_text
from lib.version import VERSION
from query_api.http.caching import conditional_response, digest
from query_api.http.content_type import MEDIA_TYPES, Format, TableFormat
from query_api.http.formats import frame_to_csv, frame_to_ndjson
from query_api.http.parquet_files import metadata, with_times
from query_api.http.routing import CACHE_BUSTER
from query_api.services import Services

TEXT_WIDTH = 80
MOST_AT_ONCE = 500
"""So many rows are written as JSON in less time than it takes to change threads."""
RANGES_S = 60.0
"""So long after a Parquet file was made, reads of its ranges find it."""
LONGEST = 4000
"""Some proxies refuse longer headers."""
IS_VIEW = "topcoins.is_view"
"""The scope entry of a request to `/?view=…`, which has the path of the API's own address by now."""


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """How to write an answer of `count` rows: as JSON, as a frame for each format, and as a table of that JSON.

    `times` are the columns with RFC 3339 texts. `fixed` are the parameters that give the very answer again.
    """

    count: int
    to_json: Callable[[], bytes]
    frame: Callable[[TableFormat], pl.DataFrame]
    to_table: Callable[[Mapping[str, Any]], TextTable]
    times: Sequence[str]
    fixed: Mapping[str, str]

    async def respond(
        self, request: Request, services: Services, chosen: Format, headers: Mapping[str, str]
    ) -> Response:
        """The response in a format. All but JSON have the permalink beside their rows."""
        if chosen == "json":
            body = self.to_json() if self.count <= MOST_AT_ONCE else await asyncio.to_thread(self.to_json)
            return conditional_response(request, body, headers, MEDIA_TYPES["json"])
        link = permalink(request, {**self.fixed, "format": chosen})
        headers = {**headers, **file_headers(request, link)}
        if chosen == "parquet":
            return await self._parquet(request, services, link, headers)
        body = await asyncio.to_thread(self._text, services.notice) if chosen == "text" else await self._rows(chosen)
        return conditional_response(request, body, headers, MEDIA_TYPES[chosen])

    async def _rows(self, chosen: TableFormat) -> bytes:
        write = frame_to_csv if chosen == "csv" else frame_to_ndjson
        return await asyncio.to_thread(lambda: write(self.frame(chosen)))

    def _text(self, notice: str) -> bytes:
        table = self.to_table(orjson.loads(self.to_json()))
        return to_text(replace(table, notes=[*table.notes, notice]), TEXT_WIDTH).encode()

    async def _parquet(self, request: Request, services: Services, link: str, headers: Mapping[str, str]) -> Response:
        async def write(path: Path) -> Mapping[str, str]:
            await services.long_work.in_thread(partial(self._write_parquet, path, link, services.notice))
            return headers

        return (await services.parquet_files.make(request, write)).response(request)

    def _write_parquet(self, path: Path, link: str, notice: str) -> None:
        """The rows, and as metadata what the JSON has beside them, with the hash of the JSON's own rows."""
        about = orjson.loads(self.to_json())
        rows = orjson.dumps(about.pop("data"))
        about |= {"question": link, "notice": notice, "version": VERSION, "hash": digest(rows)}
        with_times(self.frame("parquet"), self.times).write_parquet(path, metadata=metadata(about))


def read_again(request: Request, services: Services, chosen: Format) -> Response | None:
    """The response to a read of ranges of a Parquet file that was just made."""
    if chosen != "parquet" or "range" not in request.headers:
        return None
    file = services.parquet_files.find(request, RANGES_S)
    return file.response(request) if file else None


def permalink(request: Request, fixed: Mapping[str, str]) -> str:
    """The path and query of an answer: the parameters that were sent, and in their place those that are `fixed`."""
    sent = {name: value for name, value in request.query_params.items() if name != CACHE_BUSTER}
    return f"{request.scope['path']}?{urlencode({**sent, **fixed})}"


def file_headers(request: Request, link: str) -> dict[str, str]:
    """The header of every downloaded file: its permalink, relative to its address."""
    relative = link.removeprefix("/") if request.scope.get(IS_VIEW) else link[link.index("?") :]
    return {"content-location": relative} if len(relative) <= LONGEST else {}
