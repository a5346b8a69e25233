"""The side table of hours: the first tick of each hour of a sealed day, sorted by asset, for long histories.

It repeats rows of the day's first part, so one asset's year of hours is read without decoding a year of minutes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lib.archive.tables import TICK
from lib.clock import HOUR_S
from lib.schema import ID

FOLDER = "hourly/"
ROWS_IN_GROUP = 4800
"""A row group: the hours of 200 assets."""


def hourly_table(series: str) -> str:
    """The name of the side table of a series."""
    return f"{FOLDER}{series}"


def series_name(table: str) -> str:
    """The series of a side table; empty for any other table."""
    return table.removeprefix(FOLDER) if table.startswith(FOLDER) else ""


def read_hours(path: Path) -> pl.DataFrame:
    """The rows of the side table, from the first part of a series."""
    scan = pl.scan_parquet(path, hive_partitioning=False)
    firsts = scan.select(pl.col(TICK).unique().sort()).group_by(pl.col(TICK).dt.truncate("1h").alias("hour"))
    ticks = firsts.agg(pl.col(TICK).min())
    return scan.filter(pl.col(TICK).is_in(ticks.collect()[TICK].implode())).collect().sort(ID, TICK)


def firsts_of(ticks: NDArray[Any]) -> set[int]:
    """The first tick of every hour. Ticks are epoch seconds, oldest first."""
    _, firsts = np.unique(ticks // HOUR_S, return_index=True)
    return {*ticks[firsts].tolist()}
