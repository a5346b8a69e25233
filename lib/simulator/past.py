"""Fills the past of a simulated market into the store of the settings: `python -m lib.simulator.past`.

The stack of compose.demo.yaml runs it once per `up`. The newest hours come first, so that boards soon have lines.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from lib import log, settings
from lib.clock import HOUR, MINUTE, slot, utc_now
from lib.ingest.delivery import Delivery, WriteThrough
from lib.settings import Settings
from lib.simulator.history import Past, sources
from lib.simulator.market import Market
from lib.snapshot import Snapshot
from lib.store import Store
from lib.store.address import open_store
from lib.store.influx import flux

MINUTES = timedelta(hours=48)
"""So far back there is a tick for each minute."""
HOURS = timedelta(days=30)
"""So far back there is a tick for each hour."""
DAY_OF_HOURS = 24


class Stretch(NamedTuple):
    """Ticks that are filled in order, and their interval."""

    interval: timedelta
    ticks: Sequence[datetime]


def stretches(now: datetime) -> Iterator[Stretch]:
    """All ticks before the minute of `now`, the newest stretch first: minutes of one hour, then hours of one day."""
    stop, newest_hour = slot(now, MINUTE), slot(now, HOUR)
    for back in range(MINUTES // HOUR + 1):
        start = newest_hour - back * HOUR
        yield Stretch(MINUTE, [tick for n in range(60) if (tick := start + n * MINUTE) < stop])
    before = newest_hour - MINUTES
    for back in range(DAY_OF_HOURS, (HOURS - MINUTES) // HOUR + 1, DAY_OF_HOURS):
        yield Stretch(HOUR, [before - (back - n) * HOUR for n in range(DAY_OF_HOURS)])


class ToBothBuckets(WriteThrough):
    """Writes a tick on the hour into the hourly bucket too: the server's own task would need half a day."""

    def __init__(self, store: Store, hourly: Store) -> None:
        super().__init__(store)
        self._hourly = hourly

    async def accept(self, snapshot: Snapshot) -> None:
        """Write it; the store's errors reach the caller."""
        await super().accept(snapshot)
        if snapshot.tick == slot(snapshot.tick, HOUR):
            await self._hourly.write(snapshot)


async def fill(store: Store, delivery: Delivery, assets: int, now: datetime) -> None:
    """Fill both series, stretch by stretch; a later run continues an interrupted one."""
    market = Market(assets=assets)
    pasts = [Past(file, market, store, delivery, assets=assets) for file in sources()]
    events = structlog.get_logger()
    gc.freeze()
    try:
        for stretch in stretches(now):
            await asyncio.gather(*(past.fill(stretch.ticks, stretch.interval, lambda: None) for past in pasts))
            if stretch.ticks:
                events.info("the past is filled", since=stretch.ticks[0], interval_s=stretch.interval.total_seconds())
    finally:
        for past in pasts:
            await past.close()


async def run(chosen: Settings) -> None:
    """Fill the InfluxDB of the settings. The token must be able to write both buckets."""
    store = open_store(chosen, utc_now)
    hourly = open_store(chosen.model_copy(update={"influx_bucket": flux.hourly(chosen.influx_bucket)}), utc_now)
    try:
        await fill(store, ToBothBuckets(store, hourly), chosen.assets, utc_now())
    finally:
        await store.close()
        await hourly.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    loaded = settings.load(os.environ)
    log.configure(loaded)
    asyncio.run(run(loaded))
