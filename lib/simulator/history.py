"""Fills a simulated history through the ordinary ingest path: the source asks, the gate judges, the store writes.

A worker process: `python -m lib.simulator.history '[{…}]'` with the fields of one `Fill` or more as JSON, and fills
them concurrently. It prints an empty line for each `REPORT_EVERY` ticks that are done.
"""

import asyncio
import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
from pydantic import BaseModel, SecretStr, TypeAdapter

from lib import log
from lib.clock import slot, utc_now
from lib.ingest.delivery import Delivery, WriteThrough
from lib.ingest.tick import Ingest
from lib.lifeline import end_with_parent
from lib.settings import Settings
from lib.simulator.app import create_app
from lib.simulator.market import Market
from lib.simulator.vendor import Plan
from lib.source import Source, read_source
from lib.store import Store
from lib.store.sqlite import SqliteStore

BASE = "http://simulator"
_SOURCES = (("ingest_price", "coinmarketcap.toml"), ("ingest_rank", "coindesk.toml"))
REPORT_EVERY = 10
MOST_WORKERS = 4
"""More would only wait, because SQLite writes one snapshot at a time."""
STRETCH = 30
"""Ticks that are filled in order. The newest stretch is the first, so that an hour ago can soon be asked for."""


class Fill(BaseModel):
    """What to fill: the ticks of one source with start <= tick < stop that are not stored yet.

    Of `workers`, each has other stretches of it.
    """

    source: Path
    store: Path
    assets: int
    events_at: datetime
    start: datetime
    stop: datetime
    interval: timedelta
    worker: int = 0
    workers: int = 1

    def ticks(self) -> list[datetime]:
        """The ticks to fill, by all workers."""
        first = slot(self.start, self.interval)
        count = (self.stop - first) // self.interval
        return [at for n in range(count + 1) if self.start <= (at := first + n * self.interval) < self.stop]

    def stretches(self) -> list[list[datetime]]:
        """The ticks of this worker, the newest stretch first."""
        ticks = self.ticks()
        ends = range(len(ticks) - self.worker * STRETCH, 0, -self.workers * STRETCH)
        return [ticks[max(end - STRETCH, 0) : end] for end in ends]


_FILLS = TypeAdapter(list[Fill])


def shared(fills: Sequence[Fill]) -> list[str]:
    """The argument of each worker to start, so that all cores are used equally."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    parts = [[each.model_copy(update={"worker": n, "workers": workers}) for each in fills] for n in range(workers)]
    return [_FILLS.dump_json(part).decode() for part in parts]


class Past:
    """The past of one source in a simulated market. It can be ingested into a store in any order of ticks."""

    def __init__(self, file: Path, market: Market, store: Store, delivery: Delivery, *, assets: int) -> None:
        self._file = read_source(file)
        self._store = store
        self._delivery = delivery
        self._assets = assets
        self._at = utc_now()
        transport = httpx.ASGITransport(create_app(market, self._clock, plan=Plan.unlimited()))
        self._client = httpx.AsyncClient(transport=transport)

    async def fill(self, ticks: Sequence[datetime], interval: timedelta, done: Callable[[], None]) -> None:
        """Ingest the ticks that are not stored yet, in order, with the simulator's clock set to each.

        Calls `done` after each tick. Raises RuntimeError at the first one without a snapshot, because a simulated
        history has no gaps.
        """
        source = Source(self._file, client=self._client, clock=self._clock, key=SecretStr("demo"), url=BASE)
        ingest = Ingest(
            [source],
            store=self._store,
            delivery=self._delivery,
            clock=self._clock,
            assets=self._assets,
            interval=interval,
        )
        stored = {*await self._store.ticks(ingest.series.name, ticks[0], ticks[-1])} if ticks else set()
        for tick in ticks:
            self._at = tick
            if tick not in stored and await ingest.tick(tick, backfilled=True) is None:
                raise RuntimeError(f"{self._file.name}: no snapshot for {tick}; the log has the reason")
            done()

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    def _clock(self) -> datetime:
        return self._at


def sources() -> list[Path]:
    """The source files that fill a simulated history: prices, then ranks."""
    return [Path(str(files(package) / name)) for package, name in _SOURCES]


async def fill(plan: Fill, done: Callable[[], None]) -> None:
    """Ingest the ticks of a plan's worker, the newest stretch first; call `done` after each."""
    market = Market(assets=plan.assets, events_at=plan.events_at)
    store = SqliteStore(plan.store, clock=utc_now, durable=False)
    past = Past(plan.source, market, store, WriteThrough(store), assets=plan.assets)
    gc.freeze()  # nothing of this is garbage; scanning it takes a tenth of a tick
    try:
        for ticks in plan.stretches():
            await past.fill(ticks, plan.interval, done)
    finally:
        await past.close()
        await store.close()


async def _work(fills: Sequence[Fill]) -> None:
    log.configure(Settings(log_file=fills[0].store.with_name("history.log"), log_level="warning"))
    count = itertools.count(1)

    def done() -> None:
        if next(count) % REPORT_EVERY == 0:
            print(flush=True)

    await asyncio.gather(*(fill(plan, done) for plan in fills))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    end_with_parent(os.environ)
    asyncio.run(_work(_FILLS.validate_json(sys.argv[1])))
