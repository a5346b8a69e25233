"""The as-of rule once more: slow, obvious, from everything that was sent, without a frame, a marker or a tier.

For the instant T: P is the newest price tick not after T; R is the rank tick not after T nearest to P within the
skew, of two equally near the earlier; without one, the next older P. Neither lies further before T than the max
age. Then the assets on both sides, by the source's dense rank, renumbered, and at last the limit.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from query_api.asof.filters import Filters
from tests.unit.query_api.market import UNTOLD, Kind, PriceRow, Prices, RankRow, Ranks


@dataclass(frozen=True)
class Answer:
    """The expected list."""

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
    sent: Sequence[Prices | Ranks], at: datetime, *, max_skew: timedelta, max_age: timedelta, limit: int
) -> Answer | None:
    """The whole answer from all that was sent, or None without a pair."""
    prices = {each.tick: each.rows for each in sent if isinstance(each, Prices)}
    ranks = {each.tick: each.rows for each in sent if isinstance(each, Ranks)}
    pair = pair_of(prices, list(ranks), at, max_skew, max_age)
    if pair is None:
        return None
    priced, ranked = priced_of(prices[pair[0]]), ranked_of(ranks[pair[1]])
    rows = joined(priced, ranked)
    return Answer(pair[0], pair[1], len(priced), len(ranked), len(rows), rows[:limit])


def filtered(
    sent: Prices, ranked: Sequence[dict[str, Any]], filters: Filters, limit: int
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Of an unfiltered list the first `limit` that pass, renumbered, and how many above the last were left out."""
    kept: list[dict[str, Any]] = []
    counts = dict.fromkeys(filters.exclude, 0)
    if filters.max_volume_to_cap is not None:
        counts["volume_to_cap"] = 0
    if counts:
        counts["unknown"] = 0
    for row in ranked:
        ticker = (row["symbol"] or "").lower()
        by_name = row["cmc_id"] in filters.ids or (ticker and ticker in [name.lower() for name in filters.symbols])
        if (filters.ids or filters.symbols) and not by_name:
            continue
        if len(kept) == limit:
            break
        why = left_out(sent.kinds.get(row["cmc_id"], UNTOLD), row["volume_24h_usd"], filters)
        if why:
            counts[why] += 1
        else:
            kept.append(row | {"rank": len(kept) + 1})
    return kept, counts


def left_out(kind: Kind, volume: float, filters: Filters) -> str | None:
    """Why an asset is left out."""
    cap, stablecoin, wrapped = kind
    if "stablecoins" in filters.exclude and stablecoin == 1:
        return "stablecoins"
    if "wrapped" in filters.exclude and wrapped == 1:
        return "wrapped"
    most = filters.max_volume_to_cap
    if most is not None and cap is not None and volume > cap * most:
        return "volume_to_cap"
    needed = [stablecoin] * ("stablecoins" in filters.exclude) + [wrapped] * ("wrapped" in filters.exclude)
    needed += [cap] if most is not None else []
    return "unknown" if None in needed else None


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
