"""How far a provider's list differs from what is stored."""

import math

import polars as pl

from lib.ids.price_test import CLOSE
from lib.ingest.ids.report import Comparison
from lib.schema import ID, TIER_PLACES
from lib.snapshot import Snapshot
from lib.source.id_tables import OWN_USD

PLACES = TIER_PLACES[:4]
FEWEST = 3
"""A median over fewer assets is the difference of one asset."""
MOST_OFF = 0.1
MOST_MEDIAN = 0.02
MOST_UNSHARED = 0.5
"""Beyond these a provider disagrees: its free data is minutes old, and it counts volumes over other exchanges."""


def compared(rows: pl.DataFrame, price: Snapshot | None, rank: Snapshot | None) -> Comparison | None:
    """The comparison of a provider's rows, the largest volume first; None where too little can be compared."""
    if price is None:
        return None
    theirs = rows.select(ID, pl.col(OWN_USD)).drop_nulls()
    both = theirs.join(price.rows.select(ID, "usd"), on=ID).filter(pl.col(OWN_USD) > 0)
    ratios = both[OWN_USD] / both["usd"]
    median = ratios.log().abs().median()
    if len(ratios) < FEWEST or not isinstance(median, float):
        return None
    return Comparison(
        price_source=price.marker.source,
        rank_source=rank.marker.source if rank else None,
        assets=len(ratios),
        price_median=round(math.expm1(min(median, 700)), 6),
        price_off=round(len(ratios.filter((ratios - 1).abs() > CLOSE)) / len(ratios), 4),
        unshared=_unshared(rows, rank) if rank else {},
    )


def _unshared(rows: pl.DataFrame, rank: Snapshot) -> dict[str, float]:
    unshared = {}
    for places in PLACES:
        if places <= min(len(rows), len(rank.rows)):
            ours = set(rank.rows.filter(pl.col("rank") <= places)[ID])
            unshared[str(places)] = round(1 - len(ours & set(rows[ID].head(places))) / places, 4)
    return unshared


def disagrees(comparison: Comparison) -> bool:
    """Whether it is worth a warning."""
    first = comparison.unshared.get(str(PLACES[0]), 0.0)
    return comparison.price_off > MOST_OFF or comparison.price_median > MOST_MEDIAN or first > MOST_UNSHARED
