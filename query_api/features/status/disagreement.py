"""How far two sources disagree about the ranks: the price source has its own volumes, and with them its own places.

Nothing more is asked of either: each snapshot's tiers say which assets its source has among the first 100, 250, ...
"""

from datetime import datetime

from pydantic import BaseModel

from lib.schema import ID, PRICE, TIER, TIER_PLACES, VOLUME_RANK
from lib.store import Store
from query_api.asof.pair import Pair
from query_api.asof.top_list import TopList

PLACES = TIER_PLACES[:4]


class RankDisagreement(BaseModel):
    """The part of the first 100, 250, 500 and 1000 places that the two sources do not share: 0 when they agree."""

    price_source: str
    rank_source: str
    price_time: datetime
    rank_time: datetime
    unshared: dict[str, float]


class Disagreements:
    """Reckons each pair of snapshots once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pair: Pair | None = None
        self._told: RankDisagreement | None = None

    async def of(self, top: TopList) -> RankDisagreement | None:
        """How far the sources of a list's snapshots disagree; None where one source is both."""
        pair = top.pair
        if pair.price.source == pair.rank.source:
            return None
        if pair != self._pair:
            self._told = RankDisagreement(
                price_source=pair.price.source,
                rank_source=pair.rank.source,
                price_time=pair.price.tick,
                rank_time=pair.rank.tick,
                unshared=await self._unshared(top),
            )
            self._pair = pair
        return self._told

    async def _unshared(self, top: TopList) -> dict[str, float]:
        pair, resolution = top.pair, top.resolution
        tiers = range(len(PLACES))
        price = await self._store.rows(PRICE, pair.price.tick, tiers=tiers, fields=["usd"], resolution=resolution)
        rank = await self._store.rows(VOLUME_RANK, pair.rank.tick, tiers=tiers, fields=["rank"], resolution=resolution)
        told = {}
        for tier, places in enumerate(PLACES):
            if places > min(pair.price.assets, pair.rank.assets):
                break
            ones, others = (set(rows.filter(rows[TIER] <= tier)[ID]) for rows in (price, rank))
            told[str(places)] = round(1 - len(ones & others) / places, 4)
        return told
