"""How far prices moved since an hour, a day and a week before."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from lib.columns import CHANGES
from lib.schema import ID, PRICE
from lib.store import Store
from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.pair import AsOf

MOST_BY_ID = 500
"""Above so many assets, a whole snapshot is read: that is faster than to name them."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """The pair of a list some time before; None where there is no list."""

    at: datetime
    basis: PairFound | None

    @property
    def answer(self) -> AsOf | None:
        """As an answer of that instant, for its caching."""
        basis = self.basis
        return AsOf(self.at, basis.pair, basis.resolution, basis.known_since) if basis else None


class ChangeFinder:
    """Adds the columns of `CHANGES` to lists of one store."""

    def __init__(self, store: Store, pairs: PairFinder) -> None:
        self._store = store
        self._pairs = pairs

    async def add(
        self,
        rows: pl.DataFrame,
        names: Sequence[str],
        tick: datetime,
        *,
        max_age: timedelta | None,
        known_at: datetime | None,
    ) -> tuple[pl.DataFrame, list[Earlier]]:
        """The rows of the price tick with these columns, and the earlier lists they come from."""

        async def before(name: str) -> tuple[Earlier, pl.DataFrame]:
            earlier = await self._earlier(tick - CHANGES[name], max_age, known_at)
            return earlier, await self._prices(earlier, rows[ID].to_list())

        read = await asyncio.gather(*(before(name) for name in names))
        for name, (_, prices) in zip(names, read, strict=True):
            then = rows.select(ID).join(prices, on=ID, how="left", maintain_order="left")["usd"]
            rows = rows.with_columns(((pl.col("price_usd") / then - 1) * 100).round(4).alias(name))
        return rows, [earlier for earlier, _ in read]

    async def _earlier(self, at: datetime, max_age: timedelta | None, known_at: datetime | None) -> Earlier:
        try:
            return Earlier(at, await self._pairs.find(at, max_age=max_age, known_at=known_at, explain=False))
        except NoSnapshot:
            return Earlier(at, None)

    async def _prices(self, earlier: Earlier, ids: list[int]) -> pl.DataFrame:
        if earlier.basis is None:
            return PRICE.only(("usd",)).empty()
        tick, resolution = earlier.basis.pair.price.tick, earlier.basis.resolution
        some = ids if len(ids) <= MOST_BY_ID else None
        return await self._store.rows(PRICE, tick, ids=some, fields=("usd",), resolution=resolution)
