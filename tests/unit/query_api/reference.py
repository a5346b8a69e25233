"""The as-of rule once more: slow, obvious, from everything ever told, without a frame, a marker or a tier.

For the instant T: P is the newest price tick not after T; R is the rank tick not after T nearest to P within the
skew, of two equally near the earlier; without one, the next older P. Neither lies further before T than the max
age. Then the assets on both sides, by the source's dense rank, renumbered, and at last the limit.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.unit.query_api.market import PriceRow, Prices, RankRow, Ranks


@dataclass(frozen=True)
class Answer:
    """What must come out."""

    price_time: datetime
    rank_time: datetime
    priced: int
    ranked: int
    matched: int
    rows: list[dict[str, Any]]


def pair_of(
    prices: Iterable[datetime], ranks: Sequence[datetime], at: datetime, max_skew: timedelta, max_age: timedelta
) -> tuple[datetime, datetime] | None:
    """The two ticks that answer."""

    def allowed(tick: datetime) -> bool:
        return tick <= at and at - tick <= max_age

    for price in sorted(prices, reverse=True):
        if not allowed(price):
            continue
        best = None
        for rank in sorted(ranks):
            near = allowed(rank) and abs(rank - price) <= max_skew
            if near and (best is None or abs(rank - price) < abs(best - price)):
                best = rank
        if best is not None:
            return price, best
    return None


def answer(
    told: Sequence[Prices | Ranks], at: datetime, *, max_skew: timedelta, max_age: timedelta, limit: int
) -> Answer | None:
    """The whole answer from all that was told, or None when nothing answers."""
    prices = {each.tick: each.rows for each in told if isinstance(each, Prices)}
    ranks = {each.tick: each.rows for each in told if isinstance(each, Ranks)}
    pair = pair_of(prices, list(ranks), at, max_skew, max_age)
    if pair is None:
        return None
    priced, ranked = priced_of(prices[pair[0]]), ranked_of(ranks[pair[1]])
    rows = joined(priced, ranked)
    return Answer(pair[0], pair[1], len(priced), len(ranked), len(rows), rows[:limit])


def joined(priced: dict[int, PriceRow], ranked: list[tuple[int, float]]) -> list[dict[str, Any]]:
    """The assets on both sides, renumbered."""
    rows: list[dict[str, Any]] = []
    for source_rank, (id_, volume) in enumerate(ranked, 1):
        if id_ in priced:
            _, symbol, name, usd, _ = priced[id_]
            rows.append(
                {
                    "rank": len(rows) + 1,
                    "cmc_id": id_,
                    "symbol": symbol,
                    "name": name,
                    "price_usd": usd,
                    "volume_24h_usd": volume,
                    "source_rank": source_rank,
                    "price_updated_at": None,
                }
            )
    return rows


def priced_of(rows: Iterable[PriceRow]) -> dict[int, PriceRow]:
    """One sound row for each asset: the one with the highest volume, the first of equals."""
    kept: dict[int, PriceRow] = {}
    for row in rows:
        id_, _, _, usd, volume = row
        if id_ is None or usd is None or not math.isfinite(usd) or usd <= 0 or not _sound(id_, volume):
            continue
        if id_ not in kept or _volume(volume) > _volume(kept[id_][4]):
            kept[id_] = row
    return kept


def ranked_of(rows: Iterable[RankRow]) -> list[tuple[int, float]]:
    """Each asset's highest volume, the largest first, by id where equal."""
    kept: dict[int, float] = {}
    for id_, volume in rows:
        if id_ is not None and volume is not None and _sound(id_, volume):
            kept[id_] = max(volume, kept.get(id_, 0.0))
    return sorted(kept.items(), key=lambda item: (-item[1], item[0]))


def _sound(id_: int, volume: float | None) -> bool:
    return id_ > 0 and (volume is None or (math.isfinite(volume) and volume >= 0))


def _volume(volume: float | None) -> float:
    return -1.0 if volume is None else volume
