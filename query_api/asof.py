"""The as-of rule: which two snapshots answer for an instant, and how they are joined. Nothing looks ahead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

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


def newest_pair(markers: Iterable[Marker], at: datetime, *, max_skew: timedelta, max_age: timedelta) -> Pair | None:
    """The newest price tick not after `at` that has a rank tick, not after `at` either, within `max_skew` of it.

    Of several the nearest rank tick, of two equally near the earlier. Neither may lie more than `max_age`
    before `at`. None when there is no such pair.
    """
    fit = [marker for marker in markers if at - max_age <= marker.tick <= at]
    prices = sorted((m for m in fit if m.series == PRICE.name), key=lambda m: m.tick, reverse=True)
    ranks = [m for m in fit if m.series == VOLUME_RANK.name]
    for price in prices:
        if rank := nearest(ranks, price.tick, max_skew):
            return Pair(price, rank)
    return None


def nearest(markers: Sequence[Marker], at: datetime, max_skew: timedelta) -> Marker | None:
    """The marker nearest to `at` within `max_skew`, the earlier of two equally near."""
    near = [marker for marker in markers if abs(marker.tick - at) <= max_skew]
    return min(near, key=lambda marker: (abs(marker.tick - at), marker.tick), default=None)


def join(price: pl.DataFrame, rank: pl.DataFrame, limit: int) -> pl.DataFrame:
    """The answer's rows: assets on both sides, by the source's rank, renumbered from 1, the first `limit`."""
    return (
        rank.lazy()
        .join(price.lazy(), on=ID, how="inner")
        .sort("rank", ID)
        .head(limit)
        .with_row_index("place", offset=1)
        .select(
            pl.col("place").cast(pl.Int64).alias("rank"),
            ID,
            "symbol",
            "name",
            pl.col("usd").alias("price_usd"),
            pl.col("volume_usd").alias("volume_24h_usd"),
            pl.col("rank").cast(pl.Int64).alias("source_rank"),
            rfc3339("updated_at").alias("price_updated_at"),
        )
        .collect()
    )


def rfc3339(seconds: str) -> pl.Expr:
    """A column of epoch seconds as RFC 3339 text, in whole seconds; null where that can't be told."""
    told = pl.when(pl.col(seconds).is_between(0, LAST_SECOND)).then(pl.col(seconds))
    return pl.from_epoch(told.cast(pl.Int64)).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
