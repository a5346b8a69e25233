"""Series, tags, fields and units: declared once, for both stores, the answer and the boards.

A name keeps its type and unit for ever.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

ID = "cmc_id"
TIER = "tier"

TIER_PLACES = (100, 250, 500, 1000, 2500)
"""Tier n ends at this place by 24h volume in the asset's own source. The last tier has all other assets."""

LARGEST_ID = 10_000_000
"""CoinMarketCap's ids are below 50,000 in 2026; anything above this is not one of them."""

LONGEST_TEXT = 256
"""A ticker or a name of more characters is a reject."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""A valid name of a series, source or field: safe as a column, a tag value and a measurement."""


@dataclass(frozen=True, slots=True)
class Series:
    """A kind of reading of each asset: text tags identify it, float fields measure it."""

    name: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The columns of this series' rows, in order."""
        return {
            ID: pl.Int64(),
            **dict.fromkeys(self.tags, pl.String()),
            TIER: pl.Int8(),
            **dict.fromkeys(self.fields, pl.Float64()),
        }

    def only(self, fields: Collection[str] | None) -> "Series":
        """This series with only these fields, in its own order; with all without them."""
        return self if fields is None else replace(self, fields=tuple(n for n in self.fields if n in fields))

    def complete(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the columns of this series; null in those they lack."""
        missing = [pl.lit(None, kind).alias(name) for name, kind in self.columns.items() if name not in rows.columns]
        return rows.with_columns(missing).select(*self.columns)

    def empty(self) -> pl.DataFrame:
        """No rows, with the right columns."""
        return pl.DataFrame(schema=self.columns)


PRICE = Series(
    "price",
    tags=("symbol", "name"),
    fields=("usd", "updated_at", "market_cap_usd", "stablecoin", "wrapped"),
    units={
        "usd": "US dollars per coin",
        "updated_at": "epoch seconds, the upstream's own time of the value",
        "market_cap_usd": "US dollars, by the upstream's count of coins",
        "stablecoin": "1 for a stablecoin, else 0",
        "wrapped": "1 for a token that represents another coin, else 0",
    },
)
VOLUME_RANK = Series(
    "volume_rank",
    tags=(),
    fields=("rank", "volume_usd"),
    units={"rank": "dense place by 24h volume, 1 is the largest", "volume_usd": "US dollars in 24 h"},
)
OWN = {series.name: series for series in (PRICE, VOLUME_RANK)}
"""The series that topcoins itself needs. Source files may add others."""

COIN_MAP = Series("coin_map", tags=("symbol", "name", "slug", "address"), fields=("platform_id",))
"""CoinMarketCap's map of ids, which is read as a list is, and never stored."""

MARKER = "snapshot"
"""The measurement with one point per series and tick, which says that the snapshot is complete."""
CLAIM = "claim"
"""In InfluxDB only: which writer is about to write which tick of a series."""

MARKER_UNITS = {
    "assets": "rows of the snapshot",
    "rejected": "rows the gate rejected",
    "duplicates": "rows left out because their id came twice",
    "duration_s": "seconds from the first request to the last row",
    "observed_at": "epoch seconds when the fetch began",
    "credits": "credits the upstream charged",
    "interval_s": "seconds to the next expected tick",
    "unchanged": "1 when the upstream's values are those of the tick before",
    "backfilled": "1 when written later than its time",
    "stored_at": "epoch seconds when the store got it: from then on it was known",
    "withdrawn_at": "epoch seconds from which the tick no longer answers",
    "restored_at": "epoch seconds from which a withdrawn tick answers again; 0 is none",
    "withdrawn_why": "text: the reason of the withdrawal",
    "new_level": "1 when the list looked doubtful beside the one before, and was accepted all the same",
    "ids": "text: the ids of the snapshot's assets, packed",
    "hash": "text: of the snapshot's content, the same in either store",
}


def tiers_of(places: int) -> pl.Series:
    """The tier of each place from the first to the last."""
    return pl.Series(TIER, np.searchsorted(TIER_PLACES, np.arange(1, places + 1)), pl.Int8)


def tiers_holding(places: int) -> int:
    """The highest tier that must be read to hold the first `places` places."""
    return sum(places > last for last in TIER_PLACES)
