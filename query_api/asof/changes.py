"""How far prices moved since an hour, a day and a week before."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from lib.columns import CHANGES
from lib.schema import ID, PRICE
from lib.store import Store
from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder, PairFound

MOST_BY_ID = 500
"""Above so many assets, a whole snapshot is read: that is faster than to name them."""


async def with_changes(
    rows: pl.DataFrame,
    names: Sequence[str],
    tick: datetime,
    store: Store,
    pairs: PairFinder,
    *,
    max_age: timedelta | None,
    known_at: datetime | None,
) -> tuple[pl.DataFrame, list[PairFound | None]]:
    """The rows of the price tick with these columns of `CHANGES`, and the pairs they compare with; None without one."""

    async def before(name: str) -> tuple[PairFound | None, pl.DataFrame]:
        found = await pairs.search(tick - CHANGES[name], max_age=max_age, known_at=known_at, explain=False)
        if isinstance(found, NoSnapshot):
            return None, PRICE.only(("usd",)).empty()
        ids = rows[ID].to_list() if len(rows) <= MOST_BY_ID else None
        then = found.pair.price.tick
        return found, await store.rows(PRICE, then, ids=ids, fields=("usd",), resolution=found.resolution)

    read = await asyncio.gather(*(before(name) for name in names))
    for name, (_, prices) in zip(names, read, strict=True):
        then = rows.select(ID).join(prices, on=ID, how="left", maintain_order="left")["usd"]
        rows = rows.with_columns(((pl.col("price_usd") / then - 1) * 100).round(4).alias(name))
    return rows, [found for found, _ in read]
