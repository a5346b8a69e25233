"""Exports made without HTTP."""

import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from lib.archive.panel import Totals
from query_api.features.export.job import write_parquet
from query_api.features.export.response import chosen_columns, to_csv, to_ndjson
from query_api.features.export.work import Steps
from query_api.http.content_type import TableFormat
from query_api.long_work import LongWork

COLUMNS = chosen_columns(None, ())


async def export_chunks(format: TableFormat, steps: Steps) -> AsyncGenerator[bytes, None]:
    """The bytes of an export in one of its formats."""
    totals, long_work = Totals(), LongWork()
    if format == "parquet":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "whole"
            await write_parquet(file, steps, COLUMNS, totals, long_work, lambda: totals.fields)
            yield file.read_bytes()
        return
    async for chunk in (to_csv if format == "csv" else to_ndjson)(steps, COLUMNS, totals, long_work):
        yield chunk
