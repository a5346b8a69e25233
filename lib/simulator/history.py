"""Fills a simulated history through the ordinary ingest path: the source asks, the gate judges, the store writes.

A worker process: `python -m lib.simulator.history '[{…}]'` with the fields of one `Fill` or more as JSON, which it
fills side by side. It tells its progress on stdout, a number of ticks done per line.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from pydantic import BaseModel, SecretStr, TypeAdapter

from lib import log
from lib.clock import slot, utc_now
from lib.ingest.delivery import WriteThrough
from lib.ingest.tick import Ingest
from lib.settings import Settings
from lib.simulator.app import create_app
from lib.simulator.market import Market
from lib.simulator.usage import Plan
from lib.source import Source, read_source
from lib.store.sqlite import SqliteStore

BASE = "http://simulator"
TOLD_EVERY = 10
MOST_WORKERS = 4
"""More would wait for each other: SQLite writes one snapshot at a time."""


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

    def ticks(self) -> list[datetime]:
        """What is to be there in the end."""
        first = slot(self.start, self.interval)
        count = (self.stop - first) // self.interval
        return [at for n in range(count + 1) if self.start <= (at := first + n * self.interval) < self.stop]

    def stretch(self, number: int, of: int) -> "Fill":
        """One of so many parts of about the same length, which together are the whole."""
        steps = (self.stop - self.start) // self.interval
        ends = [self.start + steps * part // of * self.interval for part in range(of)] + [self.stop]
        return self.model_copy(update={"start": ends[number], "stop": ends[number + 1]})


_FILLS = TypeAdapter(list[Fill])


def shared(fills: Sequence[Fill]) -> list[str]:
    """The argument of each worker to start, so that all of this machine's cores have as much to do."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    return [_FILLS.dump_json([each.stretch(number, workers) for each in fills]).decode() for number in range(workers)]


async def fill(asked: Fill, done: Callable[[], None]) -> None:
    """Walk the ticks in order of time, the simulator's clock standing at each; `done` is called after each.

    A tick that came to nothing ends it: a history is shown without gaps or not at all.
    """
    at = asked.start

    def clock() -> datetime:
        return at

    market = Market(asked.seed, asked.assets, events_at=asked.events_at)
    transport = httpx.ASGITransport(create_app(market, clock, plan=Plan.unlimited()))
    store = SqliteStore(asked.store, clock=utc_now, durable=False)
    async with httpx.AsyncClient(transport=transport) as client:
        source = Source(read_source(asked.source), client=client, clock=clock, key=SecretStr("demo"), url=BASE)
        ingest = Ingest(
            [source],
            store=store,
            delivery=WriteThrough(store),
            clock=clock,
            assets=asked.assets,
            interval=asked.interval,
        )
        gc.freeze()  # what is there by now stays: to look it through again and again costs a tenth of a tick
        stored = {*await store.ticks(ingest.series.name, asked.start, asked.stop)}
        for tick in asked.ticks():
            at = tick
            if tick not in stored and await ingest.tick(tick, backfilled=True) is None:
                raise RuntimeError(f"{asked.source.name}: no snapshot for {tick}; {asked.log_file} tells why")
            done()
    await store.close()


async def _work(fills: Sequence[Fill]) -> None:
    log.configure(Settings(log_file=fills[0].log_file, log_level="warning"))
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if count % TOLD_EVERY == 0:
            print(count, flush=True)

    await asyncio.gather(*(fill(asked, done) for asked in fills))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    asyncio.run(_work(_FILLS.validate_json(sys.argv[1])))
