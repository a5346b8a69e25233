"""The as-of rule: which two snapshots answer for an instant, and how they are joined. Nothing looks ahead."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
import polars as pl

from lib.clock import from_epoch, isoformat
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.snapshot import Marker

COLUMNS = {
    "rank": "Rank",
    "cmc_id": "CMC ID",
    "symbol": "Symbol",
    "name": "Name",
    "price_usd": "Price USD",
    "volume_24h_usd": "Volume 24h USD",
    "source_rank": "Source Rank",
    "price_updated_at": "Price Updated At",
}
"""The answer's columns, and what a CSV calls them."""
LAST_SECOND = 253_402_300_799
"""Of the year 9999: RFC 3339 goes no further, and a time in milliseconds is no time of ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A price and a rank snapshot that answer together."""

    price: Marker
    rank: Marker

    @property
    def backfilled(self) -> tuple[str, ...]:
        """Which sides were not fetched at their tick, but bought back or imported later."""
        sides = (("price", self.price), ("rank", self.rank))
        return tuple(name for name, marker in sides if marker.backfilled)


def newest_pair(markers: Iterable[Marker], at: datetime, *, max_skew: timedelta, max_age: timedelta) -> Pair | None:
    """The newest price tick not after `at` that has a rank tick, not after `at` either, within `max_skew` of it.

    Of several the nearest rank tick, of two equally near the earlier. Neither may lie more than `max_age`
    before `at`. None when there is no such pair.
    """
    fit = [marker for marker in markers if at - max_age <= marker.tick <= at]
    prices = sorted((m for m in fit if m.series == PRICE.name), key=lambda m: m.tick, reverse=True)
    ranks = [m for m in fit if m.series == VOLUME_RANK.name]
    for price in prices:
        if rank := nearest_marker(ranks, price.tick, max_skew):
            return Pair(price, rank)
    return None


def nearest_marker(markers: Sequence[Marker], at: datetime, max_skew: timedelta) -> Marker | None:
    """The marker nearest to `at` within `max_skew`, the earlier of two equally near."""
    near = [marker for marker in markers if abs(marker.tick - at) <= max_skew]
    return min(near, key=lambda marker: (abs(marker.tick - at), marker.tick), default=None)


class TickPairs:
    """The same rule over many instants: the newest pair of ticks not after each, however old."""

    def __init__(self, prices: Iterable[datetime], ranks: Iterable[datetime], max_skew: timedelta) -> None:
        self._ranks = sorted(ranks)
        self._skew = max_skew
        # Prices that never meet a rank would be stepped over again for each instant.
        self._prices = [tick for tick in sorted(prices) if self._near(tick, tick + max_skew)]

    def at(self, at: datetime) -> tuple[datetime, datetime] | None:
        """The ticks of the price and of the rank that answer for an instant."""
        for number in range(bisect_right(self._prices, at) - 1, -1, -1):
            price = self._prices[number]
            if near := self._near(price, min(price + self._skew, at)):
                return price, min(near, key=lambda tick: (abs(tick - price), tick))
        return None

    def _near(self, price: datetime, last: datetime) -> list[datetime]:
        return self._ranks[bisect_left(self._ranks, price - self._skew) : bisect_right(self._ranks, last)]


def join(price: pl.DataFrame, rank: pl.DataFrame) -> pl.DataFrame:
    """Assets on both sides, in the order of the rank rows."""
    return rank.join(price, on=ID, maintain_order="left")


def numbered_rows(joined: pl.DataFrame) -> pl.DataFrame:
    """The answer's rows, numbered from 1, from joined ones."""
    # Laying out one `select` of all of it takes longer than making the few rows.
    return pl.DataFrame(
        [
            pl.Series("rank", np.arange(1, len(joined) + 1), pl.Int64),
            *joined.select(ID, "symbol", "name"),
            joined["usd"].alias("price_usd"),
            joined["volume_usd"].alias("volume_24h_usd"),
            joined["rank"].cast(pl.Int64).alias("source_rank"),
            rfc3339(joined["updated_at"]).alias("price_updated_at"),
        ]
    )


def rfc3339(seconds: pl.Series) -> pl.Series:
    """Epoch seconds as RFC 3339 text, in whole seconds; null where that can't be told."""
    return pl.Series(seconds.name, [_told(second) for second in seconds], pl.String)


@lru_cache(maxsize=4096)  # the prices of a snapshot share few times
def _told(second: float | None) -> str | None:
    return isoformat(from_epoch(int(second))) if second is not None and 0 <= second <= LAST_SECOND else None
