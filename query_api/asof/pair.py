"""The as-of rule: which two snapshots answer for an instant, and the rows of the answer. Nothing looks ahead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lib.clock import from_epoch, isoformat
from lib.columns import COLUMNS, POLARS, RANK, Column, Kind
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from lib.store import Resolution

LAST_SECOND = 253_402_300_799
"""Of the year 9999: RFC 3339 ends there. A larger number is no time, but for example milliseconds."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A price and a rank snapshot that answer together."""

    price: Marker
    rank: Marker

    @property
    def backfilled(self) -> tuple[str, ...]:
        """The sides that were backfilled or imported, not fetched at their tick."""
        sides = (("price", self.price), ("rank", self.rank))
        return tuple(name for name, marker in sides if marker.backfilled)

    @property
    def visible_since(self) -> datetime:
        """When both snapshots were in the store."""
        return max(self.price.visible_since, self.rank.visible_since)


@dataclass(frozen=True, slots=True)
class AsOf:
    """An answer as of `at`, from one pair of snapshots.

    `known_at` is the instant asked for, or else the earliest that gives the same answer: when the last of the snapshots
    was in the store.
    """

    at: datetime
    pair: Pair
    resolution: Resolution
    known_at: datetime

    @property
    def markers(self) -> tuple[Marker | None, ...]:
        """The snapshots the answer uses."""
        return (self.pair.price, self.pair.rank)

    @property
    def key(self) -> tuple[datetime, datetime, Resolution]:
        """What identifies the pair."""
        return self.pair.price.tick, self.pair.rank.tick, self.resolution


def newest_pair(markers: Iterable[Marker], at: datetime, *, max_skew: timedelta, max_age: timedelta) -> Pair | None:
    """The newest price tick up to `at` that has a rank tick, also up to `at`, within `max_skew` of it.

    Of several rank ticks the nearest, of two equally near the earlier. Neither tick lies more than `max_age`
    before `at`. None if there is no such pair.
    """
    candidates = [marker for marker in markers if at - max_age <= marker.tick <= at]
    prices = sorted((m for m in candidates if m.series == PRICE.name), key=lambda m: m.tick, reverse=True)
    ranks = [m for m in candidates if m.series == VOLUME_RANK.name]
    for price in prices:
        if rank := nearest_marker(ranks, price.tick, max_skew):
            return Pair(price, rank)
    return None


def nearest_marker(markers: Sequence[Marker], at: datetime, max_skew: timedelta) -> Marker | None:
    """The marker nearest to `at` within `max_skew`, the earlier of two equally near."""
    near = [marker for marker in markers if abs(marker.tick - at) <= max_skew]
    return min(near, key=lambda marker: (abs(marker.tick - at), marker.tick), default=None)


def numbered_rows(joined: pl.DataFrame, numbers: NDArray[np.int64], more: Iterable[Column] = ()) -> pl.DataFrame:
    """The answer's rows from joined ones: the list's columns, then those of `more`, with these numbers as ranks."""
    # Building the few columns one by one is faster than planning one `select` of all.
    places = pl.Series(RANK.name, numbers, pl.Int64)
    return pl.DataFrame([places, *(_values(column, joined) for column in (*COLUMNS, *more) if column != RANK)])


def _values(column: Column, joined: pl.DataFrame) -> pl.Series:
    stored = joined[column.field]
    if column.kind is Kind.TIME:
        stored = rfc3339(stored)
    elif stored.dtype != POLARS[column.kind]:
        stored = stored.cast(POLARS[column.kind])
    return stored.alias(column.name)


def rfc3339(seconds: pl.Series) -> pl.Series:
    """Epoch seconds as RFC 3339 text, in whole seconds; null for what is no time."""
    values = seconds.to_list()
    texts = {second: _as_text(second) for second in {*values}}  # the prices of one snapshot share few times
    return pl.Series(seconds.name, [texts[second] for second in values], pl.String)


def _as_text(second: float | None) -> str | None:
    return isoformat(from_epoch(int(second))) if second is not None and 0 <= second <= LAST_SECOND else None
