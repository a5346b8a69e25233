"""A small world: both series' ingests over a simulated upstream, a spool on disk and a store, and the API over it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path

import httpx
from pydantic import SecretStr

import ingest_price
import ingest_rank
from lib.clock import Clock
from lib.ingest.delivery import Delivery, ViaSpool
from lib.ingest.missed import MissedTick, MissedTicks
from lib.ingest.spool import Spool, Write
from lib.ingest.tick import Ingest
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.simulator import Fault, Market, Plan, create_app
from lib.snapshot_file import write_whole
from lib.source import Source, SourceFile, read_source
from lib.source.shared_answers import FOLDER as SHARED_FOLDER
from lib.source.shared_answers import SharedAnswers
from lib.store import Store
from lib.store.sqlite import SqliteStore
from query_api.app import create_app as create_api
from tests.fakes import FakeClock

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 4, 12, tzinfo=UTC)
ASSETS = 60
PAGE = 20
"""So few to a page that a listing has three."""
BASE = "http://simulator"
ROOMY = 2**30
SERIES = {series.name: series for series in (PRICE, VOLUME_RANK)}

CMC_PRICE = Path(ingest_price.__path__[0]) / "coinmarketcap.toml"
CMC_RANK = Path(ingest_rank.__path__[0]) / "coinmarketcap.toml"
COINDESK = Path(ingest_rank.__path__[0]) / "coindesk.toml"
SOURCES = {PRICE.name: (CMC_PRICE,), VOLUME_RANK.name: (COINDESK,)}

MARKET = Market(1, ASSETS)


async def never(seconds: float) -> None:
    """How a simulator sleeps when it hangs."""
    raise AssertionError("no fault of this world sleeps")


@cache
def paged(path: Path) -> SourceFile:
    """The source, with small pages."""
    file = read_source(path)
    assert file.paging
    return file.model_copy(update={"paging": file.paging.model_copy(update={"size": PAGE})})


@dataclass
class World:
    """What survives a crash is on disk (`folder`) and in the store; `open` is what a process does when it starts."""

    folder: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    faults: Iterable[Fault] = ()
    sources: Sequence[Path] = ()
    limit: int = ROOMY
    interval: timedelta = MINUTE
    write: Write = write_whole
    sleep: Callable[[float], Awaitable[None]] = never
    make_store: Callable[[Clock], Store] | None = None
    make_reader: Callable[[Clock], Store] | None = None
    """How readers open the store, where it differs from how ingestors do."""
    wrap_store: Callable[[Store], Store] = lambda store: store
    wrap_delivery: Callable[[Delivery], Delivery] = lambda delivery: delivery
    wrap_transport: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda transport: transport

    def __post_init__(self) -> None:
        app = create_app(MARKET, self.clock, plan=Plan.unlimited(), faults=self.faults, sleep=self.sleep)
        self._transport = httpx.ASGITransport(app)

    @property
    def database(self) -> Path:
        return self.folder / "topcoins.db"

    def spool_of(self, series: str) -> Path:
        return self.folder / "spool" / series

    def open_store(self) -> Store:
        """A store as another process opens it."""
        return self.make_store(self.clock) if self.make_store else SqliteStore(self.database, clock=self.clock)

    def open_reader(self) -> Store:
        """A store to look into."""
        return self.make_reader(self.clock) if self.make_reader else self.open_store()

    @asynccontextmanager
    async def opened(self, series: str) -> AsyncIterator[Ingest]:
        """A process that fills a series, from its start to its end."""
        store = self.open_store()
        folder = self.spool_of(series)
        misses = MissedTicks(folder)

        def lost(tick: datetime, why: str) -> None:
            misses.record(MissedTick(tick, "store", why))

        spool = Spool(folder, limit=self.limit, lost=lost, write=self.write)
        spool.open()
        client = httpx.AsyncClient(transport=self.wrap_transport(self._transport))
        shared = SharedAnswers(folder.parent / SHARED_FOLDER, clock=self.clock)
        made = partial(Source, client=client, clock=self.clock, key=SecretStr("demo"), url=BASE, shared=shared)
        try:
            yield Ingest(
                [made(paged(path)) for path in self.sources or SOURCES[series]],
                store=store,
                delivery=self.wrap_delivery(ViaSpool(spool, self.wrap_store(store))),
                clock=self.clock,
                assets=ASSETS,
                interval=self.interval,
                folder=folder,
            )
        finally:
            spool.close()
            await client.aclose()
            await store.close()

    async def ticks(self, ingest: Ingest, count: int) -> list[bool]:
        """The ticks of the next minutes: for each, whether it brought a snapshot."""
        brought = []
        for _ in range(count):
            brought.append(await ingest.tick(self.clock.now) is not None)
            self.clock.now += self.interval
        return brought

    async def run(self, series: str, count: int) -> list[bool]:
        """This many ticks of another process."""
        async with self.opened(series) as ingest:
            return await self.ticks(ingest, count)

    @asynccontextmanager
    async def api(self) -> AsyncIterator[httpx.AsyncClient]:
        """The API over the store, with the spools in sight."""
        store = self.open_reader()
        app = create_api(store, clock=self.clock, max_skew=MINUTE, max_age=10 * MINUTE, spools=self.folder / "spool")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://topcoins") as client:
            yield client
        await store.close()


def series_of(name: str) -> Series:
    """One of our own series, by its name."""
    return SERIES[name]
