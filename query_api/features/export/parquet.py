"""Exports as Parquet files, which have a length and can be read in ranges (`scan_parquet(url)`, DuckDB).

A Parquet file is made whole before its first byte is sent, and remembered for a while: a reader of ranges sends several
requests for one file. It is a temporary file; a crash of the service may leave it in the system's folder for these.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl
from cachetools import TTLCache
from starlette.responses import FileResponse

from lib.archive.panel import METADATA
from lib.errors import Busy
from query_api.features.export.response import Columns, table
from query_api.features.export.work import Step, Steps, Totals, in_groups
from query_api.long_work import LongWork

ROW_GROUP = 10_000
FRESH_S = 60.0
"""So long after it was made a file answers the same request again. Reads of ranges find it longer, see `KEEP_S`."""
KEEP_S = 600.0
KEEP_BYTES = 64 * 2**20
FILE = "export.parquet"


class ParquetFile:
    """A complete file. It is deleted when nothing refers to it any more.

    Its ETag is of its content: another worker of the service makes the same file of the same steps.
    """

    def __init__(self, folder: Path, made_at: float, etag: str) -> None:
        self.path = folder / FILE
        self.made_at = made_at
        self.stat = os.stat(self.path)
        self.etag = etag
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)


class ParquetResponse(FileResponse):
    """Sends a file, or the ranges asked for; refers to it so long."""

    def __init__(self, file: ParquetFile, **options: Any) -> None:
        super().__init__(file.path, stat_result=file.stat, **options)
        self.headers["etag"] = file.etag
        self.file = file


class ParquetFiles:
    """Makes the files of exports, and remembers the last ones by their requests, some time and some bytes of them."""

    def __init__(
        self,
        long_work: LongWork,
        *,
        folder: Path | None = None,
        timer: Callable[[], float] = time.monotonic,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._long_work = long_work
        self._folder = folder
        self._timer = timer
        self._files: TTLCache[str, ParquetFile] = TTLCache(
            keep_bytes, KEEP_S, timer, getsizeof=lambda file: min(file.stat.st_size, keep_bytes)
        )

    def find(self, request: str, *, ranged: bool) -> ParquetFile | None:
        """The file made for this very request; a read of a range may come long after the file was made."""
        self._files.expire()
        file = self._files.get(request)
        fresh = file and (ranged or self._timer() - file.made_at < FRESH_S)
        return file if fresh else None

    async def make(self, request: str, steps: Steps, columns: Columns, about: Mapping[str, object]) -> ParquetFile:
        """Write all steps to a new file. Busy when the disk is full."""
        try:
            with ExitStack() as on_failure:
                folder = Path(tempfile.mkdtemp(prefix="topcoins-export-", dir=self._folder))
                on_failure.callback(shutil.rmtree, folder, ignore_errors=True)
                await self._write(folder, steps, columns, about)
                etag = await self._long_work.in_thread(partial(_etag, folder / FILE))
                on_failure.pop_all()
        except OSError as exc:
            raise Busy(f"there is no room for another Parquet file: {exc}") from exc
        file = ParquetFile(folder, self._timer(), etag)
        self._files[request] = file
        asyncio.get_running_loop().call_later(KEEP_S + 1, self._files.expire)
        return file

    async def _write(self, folder: Path, steps: Steps, columns: Columns, about: Mapping[str, object]) -> None:
        """A file for each group of rows, then one of all: no thread waits for the store, and memory stays flat."""
        totals = Totals()
        parts = [folder / "0"]
        pl.DataFrame(schema=columns).write_parquet(parts[0])
        async with aclosing(steps):
            async for group in in_groups(steps, ROW_GROUP, totals):
                parts.append(folder / str(len(parts)))
                await self._long_work.in_thread(partial(_write_part, group, columns, parts[-1]))
        metadata = {METADATA: orjson.dumps({**about, **asdict(totals)}).decode()}
        whole = folder / FILE
        await self._long_work.in_thread(
            lambda: pl.scan_parquet(parts).sink_parquet(
                whole, metadata=metadata, maintain_order=True, row_group_size=ROW_GROUP
            )
        )
        for part in parts:
            part.unlink()


def _write_part(group: Sequence[Step], columns: Columns, file: Path) -> None:
    table(group, columns).write_parquet(file)


def _etag(file: Path) -> str:
    with file.open("rb") as content:
        return f'"{hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()}"'
