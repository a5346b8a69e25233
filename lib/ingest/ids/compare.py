"""Another provider as a second opinion: how far its list differs from what is stored, and what its prices contradict.

It never makes a list doubtful by itself.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import polars as pl
from pydantic import AwareDatetime, BaseModel

from lib.ids.price_test import CLOSE
from lib.ingest.ids.report import Comparison, stem
from lib.ingest.plausible import FEWEST_COMPARED, allowed_step
from lib.ingest.state_file import read_states, save_state
from lib.schema import ID, PRICE, TIER_PLACES
from lib.snapshot import Snapshot
from lib.source import Reading
from lib.source.id_tables import OWN_USD

ENDING = ".prices.json"
PLACES = TIER_PLACES[:4]
MOST_OFF = 0.1
MOST_MEDIAN = 0.02
MOST_UNSHARED = 0.5
"""Beyond these a provider disagrees: its free data is minutes old, and it counts volumes over other exchanges."""
PART_OF_BOUND = 0.5
"""From this part of the bound on a move needs the other providers' consent: in a minute from 16 %, where the worst
minute of a crash had 10 %. Below it they are not asked: their data is minutes old, so a crash looks like a fault."""
AGREED = 0.25
"""A provider that was further than this part of the bound from the list before says nothing about the next one."""
OLDEST = timedelta(minutes=15)


def compared(rows: pl.DataFrame, price: Snapshot | None, rank: Snapshot | None) -> Comparison | None:
    """The comparison of a provider's rows, the largest volume first; None where too little can be compared."""
    if price is None:
        return None
    ratios = _ratios(_priced(rows), price.rows.select(ID, "usd"))
    median = _distance(ratios)
    if median is None:
        return None
    return Comparison(
        price_source=price.marker.source,
        rank_source=rank.marker.source if rank else None,
        assets=len(ratios),
        price_median=round(math.expm1(min(median, 700)), 6),
        price_off=round(len(ratios.filter((ratios - 1).abs() > CLOSE)) / len(ratios), 4),
        unshared=_unshared(rows, rank) if rank else {},
    )


def _priced(rows: pl.DataFrame) -> pl.DataFrame:
    """The ids and prices of a provider's rows that have both."""
    return rows.select(ID, usd=OWN_USD).drop_nulls().filter(pl.col("usd") > 0)


def _ratios(prices: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    both = prices.join(others, on=ID, suffix="_other")
    return both["usd"] / both["usd_other"]


def _distance(ratios: pl.Series) -> float | None:
    """The median distance of two price lists, as a logarithm; None over too few assets."""
    distance = ratios.log().abs().median()
    return distance if len(ratios) >= FEWEST_COMPARED and isinstance(distance, float) else None


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


class ProviderPrices(BaseModel):
    """The prices of a provider as of `at`, by CoinMarketCap's ids."""

    source: str
    at: AwareDatetime
    usd: Mapping[int, float]


def write_prices(folder: Path, reading: Reading, rows: pl.DataFrame) -> None:
    """Replace the provider's file. A disk that refuses costs no list."""
    usd = dict(_priced(rows).iter_rows())
    prices = ProviderPrices(source=reading.source, at=reading.newest_update or reading.observed_at, usd=usd)
    file = folder / f"{stem(reading.series.name, reading.source)}{ENDING}"
    save_state(file, prices, "a provider's prices can't be written")


def contradictions(now: Snapshot, before: Snapshot | None, folder: Path | None) -> list[str]:
    """The providers that agreed with the list before and not with this one, if this one moved far from it.

    `folder` has the newest prices of each provider.
    """
    if before is None or folder is None or now.series != PRICE:
        return []
    bound = allowed_step(now.series.name, now.tick - before.tick)
    old, new = (snapshot.rows.select(ID, "usd") for snapshot in (before, now))
    step = _distance(_ratios(new, old))
    if step is None or step <= bound * PART_OF_BOUND:
        return []
    return [
        f"{each.source} contradicts: its prices of {each.at:%H:%M} UTC are those of the list before"
        for each in read_states(ProviderPrices, folder.glob(f"*{ENDING}"))
        if timedelta() <= now.tick - each.at <= OLDEST and _contradicts(each, old, new, bound)
    ]


def _contradicts(provider: ProviderPrices, old: pl.DataFrame, new: pl.DataFrame, bound: float) -> bool:
    theirs = pl.DataFrame({ID: list(provider.usd), "usd": list(provider.usd.values())}, old.schema)
    to_old, to_new = (_distance(_ratios(theirs, prices)) for prices in (old, new))
    return to_old is not None and to_new is not None and to_old <= bound * AGREED and to_new > bound * PART_OF_BOUND
