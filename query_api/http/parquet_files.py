"""Answers as Parquet files, which have a length and can be read in ranges (`scan_parquet(url)`, DuckDB).

A file is made whole before its first byte is sent, and remembered for a while: a reader of ranges sends several
requests for one file. It is a temporary file; a crash of the service may leave it in the system's folder for these.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import orjson
import polars as pl
from cachetools import TTLCache
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, MalformedRangeHeader, RangeNotSatisfiable, Response
from starlette.types import Receive, Scope, Send

from lib.archive.panel import METADATA
from lib.errors import Busy
from query_api.http.caching import is_known
from query_api.http.content_type import MEDIA_TYPES

KEEP_S = 600.0
KEEP_BYTES = 64 * 2**20
SMALLEST = 64 * 2**10
"""A file counts with so many bytes at least, so that there are not thousands of small ones."""
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.fZ"

Write = Callable[[Path], Awaitable[Mapping[str, str]]]
"""Writes a file, and returns the headers of the responses that send it."""


class ParquetFile:
    """A complete file. It is deleted when nothing refers to it any more.

    Its ETag is of its content: another worker of the service makes the same file of the same rows.
    """

    def __init__(self, path: Path, made_at: float, etag: str, headers: Mapping[str, str]) -> None:
        self.path = path
        self.made_at = made_at
        self.stat = os.stat(self.path)
        self.etag = etag
        self.headers = {**headers, "etag": etag}
        weakref.finalize(self, shutil.rmtree, path.parent, ignore_errors=True)

    def response(self, request: Request) -> Response:
        """The file, the ranges asked for, or 304."""
        if is_known(request, self.etag):
            return Response(status_code=304, headers=self.headers)
        return ParquetResponse(self)


class ParquetResponse(FileResponse):
    """Sends a file, or the ranges asked for; refers to it so long."""

    def __init__(self, file: ParquetFile) -> None:
        super().__init__(file.path, stat_result=file.stat, media_type=MEDIA_TYPES["parquet"])
        self.headers.update(file.headers)
        self.file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Only a GET has ranges (RFC 9110, 14.2)."""
        if scope["method"] != "GET":
            scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"range"]}
        await super().__call__(scope, receive, send)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[tuple[int, int]]:
        """As Starlette, but a header that is no list of ranges is ignored (RFC 9110, 14.2), and 416 is a problem."""
        try:
            return super()._parse_range_header(http_range, file_size)
        except MalformedRangeHeader:
            return []
        except RangeNotSatisfiable as exc:
            why = f"the file has {file_size} bytes, and the range lies behind them; for example Range: bytes=0-99"
            raise HTTPException(416, why, {"content-range": f"bytes */{file_size}"}) from exc


class ParquetFiles:
    """Makes files, and remembers the last ones by their requests, some time and some bytes of them."""

    def __init__(
        self,
        *,
        folder: Path | None = None,
        timer: Callable[[], float] = time.monotonic,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._folder = folder
        self._timer = timer
        self._files: TTLCache[str, ParquetFile] = TTLCache(
            keep_bytes, KEEP_S, timer, getsizeof=lambda file: min(max(file.stat.st_size, SMALLEST), keep_bytes)
        )

    def find(self, request: Request, within_s: float) -> ParquetFile | None:
        """The file that was made for this very request, so long ago at most."""
        self._files.expire()
        file = self._files.get(str(request.url))
        return file if file and self._timer() - file.made_at < within_s else None

    async def make(self, request: Request, write: Write) -> ParquetFile:
        """Let a new file be written. Busy when the disk is full."""
        try:
            with ExitStack() as on_failure:
                folder = Path(tempfile.mkdtemp(prefix="topcoins-parquet-", dir=self._folder))
                on_failure.callback(shutil.rmtree, folder, ignore_errors=True)
                path = folder / "answer.parquet"
                headers = await write(path)
                etag = await asyncio.to_thread(_etag, path)
                on_failure.pop_all()
        except OSError as exc:
            raise Busy(f"there is no room for another Parquet file: {exc}") from exc
        file = ParquetFile(path, self._timer(), etag, headers)
        self._files[str(request.url)] = file
        asyncio.get_running_loop().call_later(KEEP_S + 1, self._files.expire)
        return file


def with_times(frame: pl.DataFrame, times: Iterable[str]) -> pl.DataFrame:
    """The frame with times in place of RFC 3339 texts."""
    columns = [name for name in times if name in frame.columns]
    return frame.with_columns(pl.col(columns).str.to_datetime(TIME_FORMAT, time_zone="UTC", time_unit="us"))


def metadata(about: Mapping[str, object]) -> dict[str, str]:
    """A file's metadata: the request, and all that belongs to the answer beside its rows."""
    return {METADATA: orjson.dumps(about).decode()}


def _etag(path: Path) -> str:
    with path.open("rb") as content:
        return f'"{hashlib.file_digest(content, partial(hashlib.blake2b, digest_size=16)).hexdigest()}"'
