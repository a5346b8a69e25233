"""Two ingestors that write the same ticks to one InfluxDB, each what it saw: a list is of one of them, or refused."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from lib.errors import StoreMalformed, StoreUnavailable
from lib.schema import ID, PRICE, TIER, VOLUME_RANK
from lib.snapshot import Snapshot
from lib.store import Store
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import ListQuery, TopListFinder
from tests.contract.snapshots import many
from tests.fakes import FakeClock
from tests.faults.world import MINUTE, START

pytestmark = pytest.mark.influx

ASSETS = 60
TICKS = 12
SOON = timedelta(seconds=20)


def seen_by(one: int, tick: datetime) -> Snapshot:
    """Each has its own prices, and puts half of the assets into other tiers."""
    snapshot = many(PRICE, ASSETS, tick, written=one)
    tier = (pl.col(TIER) + one * (pl.col(ID) % 2).cast(pl.Int64)) % 6
    return replace(snapshot, rows=snapshot.rows.with_columns(usd=pl.lit(float(one)), tier=tier.cast(pl.Int64)))


async def delivered(store: Store, snapshot: Snapshot) -> None:
    """As a spool does: what is not taken now is offered again."""
    while True:
        try:
            await store.write(snapshot)
        except StoreUnavailable:
            await asyncio.sleep(0)
        else:
            return


async def prices(store: Store, clock: FakeClock) -> list[float] | None:
    """Those of the whole top list, or None when it is refused."""
    lists = TopListFinder(store, max_skew=timedelta())
    try:
        return (await lists.find(clock.now, ListQuery(5000, SOON))).rows["price_usd"].to_list()
    except (NoSnapshot, StoreMalformed, StoreUnavailable):
        return None


async def test_a_list_is_of_one_writer_and_stays(influx_bucket):
    clock = FakeClock(START)
    stores = [influx_bucket.store(clock) for _ in range(3)]
    reader, *writers = stores
    won: Counter[float] = Counter()
    for number in range(TICKS):
        tick = START + number * MINUTE
        clock.now = tick + SOON
        await reader.write(many(VOLUME_RANK, ASSETS, tick))
        writing = asyncio.gather(*(delivered(store, seen_by(one, tick)) for one, store in enumerate(writers, 1)))
        seen = []
        while not writing.done():
            seen.append(await prices(reader, clock))
        await writing
        last = await prices(reader, clock)
        assert last in ([1.0] * ASSETS, [2.0] * ASSETS)
        assert all(shown in (None, last) for shown in seen)
        won[last[0]] += 1
    print(f"won: {dict(won)}")
    for store in stores:
        await store.close()
