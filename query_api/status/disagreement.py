"""How much the ranks of two sources differ: the price source has volumes of its own, and so ranks of its own.

This costs no request to a source: each snapshot's tiers name the assets among its source's first 100, 250, ...
"""

from datetime import datetime

from pydantic import BaseModel

from lib.schema import ID, PRICE, TIER, TIER_PLACES, VOLUME_RANK
from lib.store import Store
from query_api.asof.find_pair import PairFound
from query_api.asof.pair import Pair

PLACES = TIER_PLACES[:4]


class RankDisagreement(BaseModel):
    """The part of the first 100, 250, 500 and 1000 places that the two sources do not share: 0 if they agree."""

    price_source: str
    rank_source: str
    price_time: datetime
    rank_time: datetime
    unshared: dict[str, float]


class Disagreements:
    """Computes the disagreement of each pair of snapshots once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pair: Pair | None = None
        self._newest: RankDisagreement | None = None

    async def of(self, found: PairFound) -> RankDisagreement | None:
        """The disagreement between the sources of a pair's two snapshots; None if one source gave both."""
        pair = found.pair
        if pair.price.source == pair.rank.source:
            return None
        if pair != self._pair:
            self._newest = RankDisagreement(
                price_source=pair.price.source,
                rank_source=pair.rank.source,
                price_time=pair.price.tick,
                rank_time=pair.rank.tick,
                unshared=await self._unshared(found),
            )
            self._pair = pair
        return self._newest

    async def _unshared(self, found: PairFound) -> dict[str, float]:
        pair, resolution = found.pair, found.resolution
        tiers = range(len(PLACES))
        price = await self._store.rows(PRICE, pair.price.tick, tiers=tiers, fields=["usd"], resolution=resolution)
        rank = await self._store.rows(VOLUME_RANK, pair.rank.tick, tiers=tiers, fields=["rank"], resolution=resolution)
        unshared = {}
        for tier, places in enumerate(PLACES):
            if places > min(pair.price.assets, pair.rank.assets):
                break
            by_price, by_rank = (set(rows.filter(rows[TIER] <= tier)[ID]) for rows in (price, rank))
            unshared[str(places)] = round(1 - len(by_price & by_rank) / places, 4)
        return unshared
