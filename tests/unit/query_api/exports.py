"""Exports made without HTTP."""

from collections.abc import AsyncGenerator

from query_api.features.export.parquet import ParquetFiles
from query_api.features.export.response import ExportFormat, table_columns, to_csv, to_ndjson
from query_api.features.export.work import Steps
from query_api.long_work import LongWork


async def export_chunks(format: ExportFormat, steps: Steps, *, limit: int) -> AsyncGenerator[bytes, None]:
    """The bytes of an export in one of its formats."""
    columns, long_work = table_columns(()), LongWork()
    if format == "parquet":
        file = await ParquetFiles(long_work).make("url", steps, columns, {})
        yield file.path.read_bytes()
        return
    async for chunk in to_csv(steps, columns, long_work) if format == "csv" else to_ndjson(steps, limit, long_work):
        yield chunk
