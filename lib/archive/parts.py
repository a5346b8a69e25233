"""Parts: Parquet files of a day, written and read back some ticks at a time. A day is never in memory at once."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from lib.archive.manifest import Part
from lib.archive.objects import Objects
from lib.archive.tables import TICK, series_columns
from lib.errors import Malformed, StoreMalformed, StoreUnavailable
from lib.schema import ID, NAME, OWN, Series
from lib.snapshot import content_hash

TICKS_IN_GROUP = 15
"""A row group: what a reader of one tick must decode."""


def write_part(path: Path, columns: Mapping[str, Any], frames: Iterator[pl.DataFrame], *, rows_in_group: int) -> None:
    """Write the frames as one Parquet file. The caller syncs it.

    Raises what `frames` raises, and StoreUnavailable if the disk takes no file.
    """
    failures: list[Exception] = []

    def generate(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        try:
            yield from frames
        except Exception as exc:  # Polars would wrap it in an error of its own
            failures.append(exc)
            raise

    try:
        register_io_source(generate, schema=dict(columns)).sink_parquet(
            path, compression="zstd", compression_level=3, row_group_size=rows_in_group, statistics=True
        )
    except (pl.exceptions.PolarsError, OSError) as exc:
        if failures:
            raise failures[0] from None
        raise StoreUnavailable(f"{path} can't be written: {_reason(exc)}") from exc


def _reason(exc: Exception) -> str:
    """An error's first line: Polars adds its plan."""
    return str(exc).partition("\n")[0]


def describe_part(path: Path, name: str, table: str) -> Part:
    """A part's size and digest, from the file itself."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    rows = pl.scan_parquet(path, hive_partitioning=False).select(pl.len()).collect().item()
    return Part(name=name, table=table, rows=rows, bytes=path.stat().st_size, sha256=digest.hexdigest())


@contextmanager
def naming(objects: Objects, name: str, advice: str = "") -> Iterator[None]:
    """Raise StoreMalformed with the name of the part if it can't be decoded."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise StoreMalformed(f"archive {objects.shown}: {name} is damaged{advice}: {_reason(exc)}") from exc


async def sound_part(objects: Objects, part: Part, folder: Path) -> Path | None:
    """A local file of a part; None if it is missing, or not what the manifest says."""
    try:
        path = await objects.local(part.name, folder)
        is_sound = await asyncio.to_thread(describe_part, path, part.name, part.table) == part
    except (Malformed, OSError, pl.exceptions.PolarsError):
        return None
    return path if is_sound else None


def read_frames(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a part, some ticks at a time, oldest first."""
    scan = pl.scan_parquet(path, hive_partitioning=False)
    ticks = scan.select(pl.col(TICK).unique().sort()).collect()[TICK].to_list()
    starts = [*ticks[::TICKS_IN_GROUP], None]
    for start, stop in pairwise(starts):
        within = pl.col(TICK) >= start if stop is None else pl.col(TICK).is_between(start, stop, closed="left")
        yield scan.filter(within).collect()


def ticks_of(path: Path) -> frozenset[datetime]:
    """The ticks of a part."""
    ticks = pl.scan_parquet(path, hive_partitioning=False).select(pl.col(TICK).unique()).collect()
    return frozenset(ticks[TICK].to_list())


def hash_part(path: Path, series: Series, sources: Mapping[datetime, str]) -> dict[datetime, tuple[int, str]]:
    """The number of rows and the content hash of each snapshot of a part. `sources` has the source of each tick."""
    if missing := series_columns(series).keys() - pl.read_parquet_schema(path).keys():
        series = series.only([name for name in series.fields if name not in missing])
    hashes: dict[datetime, tuple[int, str]] = {}
    for frame in read_frames(path):
        for (tick,), rows in frame.partition_by(TICK, as_dict=True, maintain_order=True).items():
            assert isinstance(tick, datetime)
            own = rows.select(*series.columns).sort(ID)
            hashes[tick] = len(own), content_hash(series.name, sources.get(tick, ""), tick, own)
    return hashes


def series_of(table: str, path: Path) -> Series:
    """The series of a part. One that is not ours is known by the part's columns alone."""
    columns = pl.read_parquet_schema(path)
    tags = tuple(name for name, kind in columns.items() if kind == pl.String)
    fields = tuple(name for name, kind in columns.items() if kind == pl.Float64)
    for name in (table, *tags, *fields):
        if not NAME.fullmatch(name):  # names become part of the stores' statements
            raise StoreMalformed(f"{path}: {name!r} is no name of a series, tag or field; for example volume_rank")
    return OWN.get(table, Series(table, tags, fields))
