"""`topcoins import`: writes earlier exports into a store, as snapshots at their own ticks, where there is none.

An export lacks the assets below its top, those in only one of the two lists, and fractions of a second of the
upstream's times. Every imported snapshot is marked as backfilled and counts as known since the import.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from lib.archive.panel import totals_of
from lib.clock import HOUR, Clock, isoformat
from lib.errors import SettingsRejected
from lib.ingest.gate import admit
from lib.instants import refuse_future
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.snapshot import Snapshot, content_hash
from lib.source import Reading
from lib.store import Store

FORMATS = ("csv", "ndjson", "parquet")
_TIMES = ("price_time", "rank_time", "price_updated_at")
_SIDES = ((PRICE, "price_time", "price_source"), (VOLUME_RANK, "rank_time", "rank_source"))
_TAKEN = {
    "cmc_id": pl.Int64(),
    "symbol": pl.String(),
    "name": pl.String(),
    "price_usd": pl.Float64(),
    "volume_24h_usd": pl.Float64(),
    "source_rank": pl.Int64(),
    "price_updated_at": pl.String(),
    "price_time": pl.String(),
    "rank_time": pl.String(),
    "price_source": pl.String(),
    "rank_source": pl.String(),
}
_RUNS = r"^'([=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"
"""Texts that a CSV guards against spreadsheets with an apostrophe, which is not part of the text."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of one file: snapshots written, and snapshots skipped because their tick had one."""

    file: Path
    written: int
    kept: int


async def imported(files: list[Path], store: Store, *, clock: Clock) -> AsyncIterator[Imported]:
    """Write each file's snapshots into the store; raises SettingsRejected for a file that is not a complete export."""
    for file in files:
        rows = await asyncio.to_thread(read_export, file)
        for _, time, _ in _SIDES:
            for tick in rows[time].drop_nulls().unique():
                refuse_future(tick, clock(), file)
        counts = Counter[bool]()
        for snapshot in _snapshots(rows, clock()):
            stored = await store.nearest(snapshot.series.name, snapshot.tick)
            exists = stored is not None and stored.tick == snapshot.tick
            if not exists:
                await store.write(snapshot)
            counts[exists] += 1
        yield Imported(file, counts[False], counts[True])


def read_export(file: Path) -> pl.DataFrame:
    """The rows of an export, without steps that have no answer; SettingsRejected when it is none, or cut off."""
    format = file.suffix.removeprefix(".").lower()
    if format not in FORMATS:
        raise SettingsRejected(f"{file}: an export ends in .csv, .ndjson or .parquet; for example top.parquet")
    try:
        if totals_of(file, format) is None:
            raise SettingsRejected(f"{file} has no end: it was cut off, or is not an export of topcoins")
        rows = _READERS[format](file)
        times = [pl.col(name).str.to_datetime(time_zone="UTC", time_unit="us") for name in _TIMES]
        return rows.select(pl.col(name).cast(kind) for name, kind in _TAKEN.items()).with_columns(times)
    except OSError as exc:
        raise SettingsRejected(f"{file} can't be read: {exc.strerror}") from exc
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as exc:
        why = str(exc).splitlines()[0]
        raise SettingsRejected(f"{file} is not an export of topcoins: {type(exc).__name__}: {why}") from exc


def _read_csv(file: Path) -> pl.DataFrame:
    rows = pl.read_csv(file, comment_prefix="#", infer_schema=False).filter(pl.col("gap").is_null())
    return rows.with_columns(pl.col("symbol", "name").str.replace(_RUNS, "$1"))


def _read_ndjson(file: Path) -> pl.DataFrame:
    with file.open("rb") as lines:
        rows = [row for line in lines for row in _rows_of_line(orjson.loads(line))]
    return pl.DataFrame(rows, schema=_TAKEN)


def _rows_of_line(line: dict[str, Any]) -> list[dict[str, Any]]:
    """A row; in exports of 0.2.0 the rows of a step, beside what they are made from."""
    if "data" not in line:
        return [line] if line.get("cmc_id") is not None else []
    basis = {name: line[name] for name in ("price_time", "rank_time")}
    basis |= {f"{side}_source": line["sources"][side] for side in ("price", "rank")}
    return [row | basis for row in line["data"]]


def _read_parquet(file: Path) -> pl.DataFrame:
    rows = pl.read_parquet(file).filter(pl.col("gap").is_null())
    return rows.with_columns(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ") for name in _TIMES)


_READERS = {"csv": _read_csv, "ndjson": _read_ndjson, "parquet": _read_parquet}


def _snapshots(rows: pl.DataFrame, now: datetime) -> Iterator[Snapshot]:
    """Both sides of each pair, oldest first; a snapshot that answered for several steps only once."""
    for series, time, source in _SIDES:
        ticks = rows[time].unique().sort()
        distances = Counter(ticks.diff().drop_nulls().to_list())
        interval = distances.most_common(1)[0][0] if distances else HOUR
        for (tick, name), group in rows.group_by(time, source, maintain_order=True):
            assert isinstance(tick, datetime)
            yield _snapshot(series, str(name), tick, group.unique(ID, keep="first", maintain_order=True), interval, now)


def _snapshot(
    series: Series, source: str, tick: datetime, group: pl.DataFrame, interval: timedelta, now: datetime
) -> Snapshot:
    """One side's rows, judged by the gate. The ranks stay those of the whole list that was exported."""
    raw = group.select(
        ID,
        "symbol",
        "name",
        pl.col("price_usd").alias("usd"),
        (pl.col("price_updated_at").dt.epoch("us") / 1e6).alias("updated_at"),
        pl.col("volume_24h_usd").alias("volume_usd"),
    )
    reading = Reading(source, series, raw, len(raw), {}, 0.0, now, timedelta())
    snapshot, rejected = admit(reading, tick, interval, backfilled=True)
    if rejected:
        raise SettingsRejected(f"the {series.name} rows of {isoformat(tick)} are not an export's: {dict(rejected)}")
    if series != VOLUME_RANK:
        return snapshot
    ranks = group.select(ID, pl.col("source_rank").cast(pl.Float64).alias("rank"))
    rows = snapshot.rows.drop("rank").join(ranks, on=ID, maintain_order="left").select(snapshot.rows.columns)
    hashed = content_hash(series.name, source, tick, rows)
    return Snapshot(series, replace(snapshot.marker, hash=hashed), rows)
