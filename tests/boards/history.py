"""A simulated history for the boards, through the ordinary ingest path: a day of ticks, ten days of hourly ones, and
before them a year of hours, one like the other, of the assets that are drawn alone."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
from pydantic import SecretStr

from lib.clock import slot
from lib.ingest.delivery import WriteThrough
from lib.ingest.tick import Ingest
from lib.schema import ID, OWN
from lib.simulator.app import create_app
from lib.simulator.history import sources
from lib.simulator.market import Market
from lib.simulator.vendor import Plan
from lib.snapshot import Snapshot
from lib.source import Source, read_source
from lib.store.influx import lines
from lib.store.influx.flux import hourly
from tests.boards.buckets import BulkStore, write
from tests.influxd import Bucket

ASSETS = 120
STEP = timedelta(minutes=10)
DAY = timedelta(hours=26)
LONG = timedelta(days=10)
LONG_STEP = timedelta(hours=6)
YEAR = timedelta(days=366)
DRAWN = [1, 1027, 5426]
A_REQUEST = 1000
HOUR = timedelta(hours=1)
Written = dict[tuple[str, datetime], Snapshot]


@dataclass(frozen=True, slots=True)
class History:
    """What is stored up to `stop`: ticks every ten minutes but for one gap, and before them one every six hours."""

    bucket: Bucket
    stop: datetime
    written: Written

    @property
    def gap(self) -> tuple[datetime, datetime]:
        """The ticks around the missing ones."""
        return self.stop - 4 * STEP, self.stop - STEP

    def raw(self) -> list[datetime]:
        """The ticks of the minutes' bucket."""
        before, after = self.gap
        first = self.stop - DAY
        ticks = [first + n * STEP for n in range(DAY // STEP + 1)]
        return [tick for tick in ticks if not before < tick < after]

    def hourly(self) -> list[datetime]:
        """The ticks of the hourly bucket: those on the hour, and older ones."""
        older = slot(self.stop - LONG, LONG_STEP)
        ticks = [older + n * LONG_STEP for n in range(LONG // LONG_STEP + 2)]
        return [tick for tick in ticks if tick < self.raw()[0]] + [t for t in self.raw() if slot(t, HOUR) == t]


async def fill(history: History) -> None:
    """Write all of it."""
    raw, long = BulkStore(history.bucket), BulkStore(replace(history.bucket, name=hourly(history.bucket.name)))
    for source in sources():
        await _fill(history, source, raw, long)
    for store in (raw, long):
        await store.close()
    year = [text for series in OWN for text in _year(history, series)]
    await write(history.bucket, hourly(history.bucket.name), *year)


def _year(history: History, series: str) -> Iterator[bytes]:
    """The oldest snapshot once more for each hour of the year before it, some hours to a request."""
    oldest = history.hourly()[0]
    snapshot = history.written[series, oldest]
    few = replace(snapshot, rows=snapshot.rows.filter(pl.col(ID).is_in(DRAWN)))
    text = lines.rows(few) + b"\n" + lines.marker(snapshot.marker)
    stamp = b" %d" % oldest.timestamp()
    hours = range(1, (oldest - history.stop + YEAR) // HOUR)
    for some in (hours[at : at + A_REQUEST] for at in range(0, len(hours), A_REQUEST)):
        yield b"\n".join(text.replace(stamp, b" %d" % (oldest - n * HOUR).timestamp()) for n in some)


def repeat(history: History, series: str, tick: datetime, later: datetime) -> None:
    """Write a tick's values again at a later one, as a source with a frozen cache sends them."""
    snapshot = history.written[series, tick]
    text = lines.rows(snapshot) + b"\n" + lines.marker(snapshot.marker)
    text = text.replace(b" %d" % tick.timestamp(), b" %d" % later.timestamp())
    asyncio.run(write(history.bucket, history.bucket.name, text))


async def _fill(history: History, source: Path, raw: BulkStore, long: BulkStore) -> None:
    at = history.stop

    def clock() -> datetime:
        return at

    market = Market(1, ASSETS, events_at=history.stop - timedelta(hours=8))
    transport = httpx.ASGITransport(create_app(market, clock, plan=Plan.unlimited()))
    delivery = _ToItsBuckets((raw, history.raw()), (long, history.hourly()))
    async with httpx.AsyncClient(transport=transport) as client:
        asked = Source(read_source(source), client=client, clock=clock, key=SecretStr("demo"), url="http://simulator")
        ingest = Ingest([asked], store=raw, delivery=delivery, clock=clock, assets=ASSETS, interval=STEP)
        for tick in _in_order(history):
            at = tick
            snapshot = await ingest.tick(tick)
            assert snapshot is not None
            history.written[snapshot.series.name, tick] = snapshot


def _in_order(history: History) -> Iterator[datetime]:
    yield from sorted({*history.hourly(), *history.raw()})


class _ToItsBuckets(WriteThrough):
    """Writes a snapshot into the buckets its tick belongs to."""

    def __init__(self, *parts: tuple[BulkStore, list[datetime]]) -> None:
        super().__init__(parts[0][0])
        self._parts = parts

    async def accept(self, snapshot: Snapshot) -> None:
        for store, ticks in self._parts:
            if snapshot.tick in ticks:
                await store.write(snapshot)
