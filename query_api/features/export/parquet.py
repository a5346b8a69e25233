"""An export as a Parquet file, written in groups of rows: no thread waits for the store, and memory stays flat."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import polars as pl

from lib.archive.panel import Totals
from query_api.features.export.response import Columns, table
from query_api.features.export.work import MOST_ROWS, Step, Steps, in_groups
from query_api.http.parquet_files import metadata
from query_api.long_work import LongWork

ROW_GROUP = 10_000


async def write_parquet(
    whole: Path,
    steps: Steps,
    columns: Columns,
    totals: Totals,
    long_work: LongWork,
    about: Callable[[], Mapping[str, object]],
) -> None:
    """Write a file for each group of rows, then one of all. `about` makes its metadata once the totals are counted."""
    parts = [whole.with_name("0")]
    pl.DataFrame(schema=columns).write_parquet(parts[0])
    async with aclosing(steps):
        async for group in in_groups(steps, MOST_ROWS, totals):
            parts.append(whole.with_name(str(len(parts))))
            await long_work.in_thread(partial(_write_part, group, columns, parts[-1]))
    await long_work.in_thread(lambda: _join(parts, whole, about()))


def _write_part(group: Sequence[Step], columns: Columns, file: Path) -> None:
    table(group, columns).write_parquet(file)


def _join(parts: list[Path], whole: Path, about: Mapping[str, object]) -> None:
    pl.scan_parquet(parts).sink_parquet(whole, metadata=metadata(about), maintain_order=True, row_group_size=ROW_GROUP)
    for part in parts:
        part.unlink()
