"""Fills a simulated history through the ordinary ingest path: the source asks, the gate judges, the store writes.

A worker process for one source: `python -m lib.simulator.history '{…}'` with the fields of `Fill` as JSON. It
tells its progress on stdout, a number of ticks done per line.
"""

import asyncio
import gc
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from pydantic import BaseModel, SecretStr

from lib import log
from lib.clock import slot, utc_now
from lib.delivery import Direct
from lib.ingest import Ingest
from lib.settings import Settings
from lib.simulator.app import create_app
from lib.simulator.market import Market
from lib.simulator.usage import Plan
from lib.source import Source, read_source
from lib.store.sqlite import SqliteStore

BASE = "http://simulator"
TOLD_EVERY = 10


class Fill(BaseModel):
    """What to fill: the ticks of one source with start <= tick < stop that are not stored yet."""

    source: Path
    store: Path
    log_file: Path
    assets: int
    seed: int
    events_at: datetime
    start: datetime
    stop: datetime
    interval: timedelta


async def fill(asked: Fill) -> None:
    """Walk the ticks in order of time, the simulator's clock standing at each."""
    at = asked.start

    def clock() -> datetime:
        return at

    log.configure(Settings(log_file=asked.log_file, log_level="warning"))
    market = Market(asked.seed, asked.assets, events_at=asked.events_at)
    transport = httpx.ASGITransport(create_app(market, clock, plan=Plan.unlimited()))
    store = SqliteStore(asked.store, clock=utc_now, durable=False)
    async with httpx.AsyncClient(transport=transport) as client:
        source = Source(read_source(asked.source), client=client, clock=clock, key=SecretStr("demo"), url=BASE)
        ingest = Ingest(
            [source],
            store=store,
            delivery=Direct(store),
            clock=clock,
            assets=asked.assets,
            interval=asked.interval,
        )
        gc.freeze()  # what is there by now stays: to look it through again and again costs a tenth of a tick
        stored = {m.tick for m in await store.markers(asked.start, asked.stop, series=ingest.series.name)}
        for done, tick in enumerate(ticks(asked), 1):
            at = tick
            if tick not in stored:
                await ingest.tick(tick, backfilled=True)
            if done % TOLD_EVERY == 0:
                print(done, flush=True)
    await store.close()


def ticks(asked: Fill) -> list[datetime]:
    """The ticks of a fill."""
    first = slot(asked.start, asked.interval)
    count = (asked.stop - first) // asked.interval
    return [at for n in range(count + 1) if asked.start <= (at := first + n * asked.interval) < asked.stop]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    asyncio.run(fill(Fill.model_validate_json(sys.argv[1])))
