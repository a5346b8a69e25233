"""What settings will take: disk, measured by writing a sample, and credits, by what the source files say."""

import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from lib.clock import DAY, HOUR, MINUTE
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.snapshot import Marker, Snapshot, content_hash, pack_ids
from lib.source import SourceFile
from lib.source.expression import get
from lib.source.values import read_number
from lib.store.sqlite import SqliteStore

SAMPLE = 8
"""Ticks that are measured, behind as many that fill the file's first pages."""
START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def list_cost(file: SourceFile, assets: int) -> float:
    """The credits of a list of so many assets, by the source file; 0 where it names none."""
    if file.assets_per_credit:
        return math.ceil(assets / file.assets_per_credit)
    for_each_page = read_number(get(file.cost, {})) or 0.0  # a cost that no answer is needed for
    return for_each_page * (file.paging.pages(assets) if file.paging else 1)


async def sqlite_bytes_per_tick(assets: int) -> float:
    """What one tick of both series adds to the embedded store, from a sample written to a temporary file."""
    with tempfile.TemporaryDirectory(prefix="topcoins-forecast-") as folder:
        path = Path(folder) / "sample.db"
        sizes = []
        for ticks in (range(SAMPLE), range(SAMPLE, 2 * SAMPLE)):
            store = SqliteStore(path, clock=lambda: START, durable=False)
            for tick in ticks:
                for series in (PRICE, VOLUME_RANK):
                    await store.write(sample_snapshot(series, START + tick * MINUTE, assets))
            await store.close()  # merges the log into the file
            sizes.append(path.stat().st_size)
        return (sizes[1] - sizes[0]) / SAMPLE


def in_a_year(tick: float, hour: float, interval: timedelta, *, ticks_kept: timedelta, hours_kept: timedelta) -> float:
    """The bytes stored after a year: all ticks within the retention, and one tick an hour for `hours_kept`."""
    ticks = DAY / interval
    return tick * ticks * (ticks_kept / DAY) + hour * min(ticks, DAY / HOUR) * (hours_kept / DAY)


def sample_snapshot(
    series: Series, tick: datetime, assets: int, *, source: str = "sample", credits: float = 0.0
) -> Snapshot:
    """A snapshot of made-up values as long as real ones."""
    values = np.random.default_rng(int(tick.timestamp())).lognormal(size=assets)
    ids = pl.Series(ID, range(1, assets + 1), pl.Int64)
    columns = {
        ID: ids,
        **{tag: [f"{tag} {n}" for n in range(assets)] for tag in series.tags},
        "tier": [0] * assets,
        **dict.fromkeys(series.fields, values),
    }
    rows = pl.DataFrame(columns, schema=series.columns)
    marker = Marker(
        series=series.name,
        source=source,
        tick=tick,
        assets=assets,
        rejected=0,
        duplicates=0,
        duration=MINUTE,
        observed_at=tick,
        credits=credits,
        interval=MINUTE,
        unchanged=False,
        backfilled=False,
        ids=pack_ids(ids),
        hash=content_hash(series.name, source, tick, rows),
    )
    return Snapshot(series, marker, rows)
