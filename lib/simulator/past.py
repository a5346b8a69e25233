"""Fills the past of a simulated market into the InfluxDB of the settings: `python -m lib.simulator.past`.

The stack of compose.demo.yaml runs it once per `up`. The newest hours come first, so that boards soon have lines. Each
source is filled by a process of its own, `python -m lib.simulator.past NUMBER`, because one would use one core.
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta

import structlog

from lib import process
from lib.clock import HOUR, MINUTE, slot, utc_now
from lib.ingest.delivery import WriteThrough
from lib.settings import Settings
from lib.simulator.history import Past, sources
from lib.simulator.market import Market
from lib.snapshot import Snapshot
from lib.store import Store
from lib.store.address import open_store
from lib.store.influx import flux

log = structlog.get_logger()

MINUTES = timedelta(hours=48)
"""So far back there is a tick for each minute."""
HOURS = timedelta(days=30)
"""So far back there is a tick for each hour."""
DAY_OF_HOURS = 24


def stretches(now: datetime) -> Iterator[tuple[timedelta, list[datetime]]]:
    """Intervals and their ticks before the minute of `now`, the newest first: hours of minutes, then days of hours."""
    stop, newest_hour = slot(now, MINUTE), slot(now, HOUR)
    for back in range(MINUTES // HOUR + 1):
        start = newest_hour - back * HOUR
        yield MINUTE, [tick for n in range(60) if (tick := start + n * MINUTE) < stop]
    before = newest_hour - MINUTES
    for back in range(DAY_OF_HOURS, (HOURS - MINUTES) // HOUR + 1, DAY_OF_HOURS):
        yield HOUR, [before - (back - n) * HOUR for n in range(DAY_OF_HOURS)]


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


async def fill_one(number: int, chosen: Settings) -> None:
    """Fill the series of a source, stretch by stretch; a later run continues an interrupted one.

    The token must be able to write both buckets.
    """
    store = open_store(chosen, utc_now)
    hourly = open_store(chosen.model_copy(update={"influx_bucket": flux.hourly(chosen.influx_bucket)}), utc_now)
    market, delivery = Market(assets=chosen.assets), ToBothBuckets(store, hourly)
    past = Past(sources()[number], market, store, delivery, assets=chosen.assets)
    gc.freeze()
    try:
        for interval, ticks in stretches(utc_now()):
            await past.fill(ticks, interval, lambda: None)
            if ticks:
                log.info("the past is filled", source=number, since=ticks[0], interval_s=interval.total_seconds())
    finally:
        await past.close()
        await store.close()
        await hourly.close()


async def fill_all() -> int:
    """Fill all sources at once; the highest exit code of the processes."""
    command = [sys.executable, "-m", "lib.simulator.past"]
    workers = [await asyncio.create_subprocess_exec(*command, str(number)) for number in range(len(sources()))]
    try:
        return max([await worker.wait() for worker in workers])
    finally:
        for worker in (worker for worker in workers if worker.returncode is None):
            worker.terminate()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with process.begin("history", []) as loaded:
        if sys.argv[1:]:
            asyncio.run(fill_one(int(sys.argv[1]), loaded))
        else:
            sys.exit(asyncio.run(fill_all()))
