"""Does another provider contradict a list whose prices moved far? It never makes a list doubtful by itself."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import polars as pl

from lib.ingest.ids.prices_file import ProviderPrices
from lib.ingest.plausible import FEWEST_COMPARED, allowed_step
from lib.schema import ID, PRICE
from lib.snapshot import Snapshot

PART_OF_BOUND = 0.5
"""From this part of the bound on a move needs the other providers' consent: in a minute from 16 %, where the worst
minute of a crash had 10 %. Below it they are not asked: their data is minutes old, so a crash looks like a fault."""
AGREED = 0.25
"""A provider that was further than this part of the bound from the list before says nothing about the next one."""
OLDEST = timedelta(minutes=15)


def contradictions(
    now: Snapshot, before: Snapshot | None, read_providers: Callable[[], Sequence[ProviderPrices]]
) -> list[str]:
    """The providers that agreed with the list before and not with this one, if this one moved far from it."""
    if before is None or now.series != PRICE:
        return []
    bound = allowed_step(now.series.name, now.tick - before.tick)
    old, new = (snapshot.rows.select(ID, "usd") for snapshot in (before, now))
    step = _distance(new, old)
    if step is None or step <= bound * PART_OF_BOUND:
        return []
    return [
        f"{each.source} contradicts: its prices of {each.at:%H:%M} UTC are those of the list before"
        for each in read_providers()
        if timedelta() <= now.tick - each.at <= OLDEST and _contradicts(each, old, new, bound)
    ]


def _contradicts(provider: ProviderPrices, old: pl.DataFrame, new: pl.DataFrame, bound: float) -> bool:
    theirs = pl.DataFrame({ID: list(provider.usd), "usd": list(provider.usd.values())}, old.schema)
    to_old, to_new = _distance(theirs, old), _distance(theirs, new)
    return to_old is not None and to_new is not None and to_old <= bound * AGREED and to_new > bound * PART_OF_BOUND


def _distance(prices: pl.DataFrame, others: pl.DataFrame) -> float | None:
    """The median distance of two price lists, as a logarithm; None over too few assets."""
    both = prices.join(others, on=ID, suffix="_other")
    distance = (both["usd"] / both["usd_other"]).log().abs().median()
    return distance if len(both) >= FEWEST_COMPARED and isinstance(distance, float) else None
