"""Many instants at once, as columns of numbers: Polars takes ten times as long for datetimes with a zone."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lib.clock import EPOCH

TIME = pl.Datetime("us", "UTC")
Microseconds = NDArray[np.int64]


def microseconds(instants: Sequence[datetime]) -> Microseconds:
    """Since the epoch."""
    each = ((at - EPOCH) // timedelta.resolution for at in instants)
    return np.fromiter(each, np.int64, len(instants))


def times(instants: Sequence[datetime]) -> pl.Series:
    """Instants as a column."""
    return pl.Series(microseconds(instants)).cast(TIME)


def microseconds_of(column: pl.Series) -> Microseconds:
    """A column of times as numbers. `to_physical` would plan a query, which takes longer than a small read."""
    return column.to_numpy().view(np.int64)


def instants(column: pl.Series) -> list[datetime]:
    """A column of times as instants."""
    return [at.replace(tzinfo=UTC) for at in column.to_physical().cast(pl.Datetime("us")).to_list()]


def as_text(time: pl.Expr) -> pl.Expr:
    """What `isoformat` makes of each."""
    return time.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").str.replace(".000000Z", "Z", literal=True)
