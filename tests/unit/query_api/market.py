"""Markets: what the two sources sent at some ticks, through the real gate, and the API that answers from them."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from lib.ingest.gate import admit
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot import Marker, Snapshot
from lib.source import Reading
from lib.store import Store
from query_api.app import create_app
from tests.fakes import FakeClock, MemoryStore

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
NO_SPOOLS = Path("no-such-folder")
MAX_AGE = timedelta(minutes=10)

NOW = datetime(2026, 11, 17, 14, 37, 30, 250_000, tzinfo=UTC)
NEWEST = datetime(2026, 11, 17, 14, 37, tzinfo=UTC)
FIRST = datetime(2026, 11, 17, 14, 0, tzinfo=UTC)
BEFORE_GAP = datetime(2026, 11, 17, 14, 10, tzinfo=UTC)
AFTER_GAP = datetime(2026, 11, 17, 14, 30, tzinfo=UTC)

MARKET_CAP = Series("market_cap", (), ("market_cap_usd", "supply"))

PriceRow = tuple[int | None, str | None, str | None, float | None, float | None]
"""cmc_id, symbol, name, usd, 24h volume."""
RankRow = tuple[int | None, float | None]
"""cmc_id, 24h volume."""


Kind = tuple[float | None, float | None, float | None]
"""Market cap, stablecoin, wrapped."""
UNTOLD: Kind = (None, None, None)


@dataclass(frozen=True)
class Prices:
    """What the price source sent at a tick; `updated_at` is the source's time of every value."""

    tick: datetime
    rows: Sequence[PriceRow]
    updated_at: float | None = None
    kinds: Mapping[int, Kind] = field(default_factory=dict)


@dataclass(frozen=True)
class Ranks:
    """What the rank source sent at a tick."""

    tick: datetime
    rows: Sequence[RankRow]


def snapshot(sent: Prices | Ranks, *, interval: timedelta = MINUTE) -> Snapshot:
    """What the gate makes of it."""
    if isinstance(sent, Prices):
        rows = [(*row[:4], sent.updated_at, *sent.kinds.get(row[0] or 0, UNTOLD), row[4]) for row in sent.rows]
        return admitted(PRICE, sent.tick, rows, "coinmarketcap", interval, symbol=pl.String, name=pl.String)
    return admitted(VOLUME_RANK, sent.tick, sent.rows, "coindesk", interval)


def market_caps(tick: datetime, rows: Sequence[tuple[int, float | None, float | None]]) -> Snapshot:
    """A snapshot of a third series: cmc_id, market cap, supply."""
    return admitted(MARKET_CAP, tick, rows, "coingecko", MINUTE)


def admitted(
    series: Series, tick: datetime, rows: Sequence[Any], source: str, interval: timedelta, **tags: Any
) -> Snapshot:
    fields = {"price": PRICE.fields, "volume_rank": ()}.get(series.name, series.fields)
    volume = ["volume_usd"] if series in (PRICE, VOLUME_RANK) else []
    columns = {"cmc_id": pl.Int64, **tags, **dict.fromkeys([*fields, *volume], pl.Float64)}
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    reading = Reading(source, series, frame, len(rows), {}, 1.0, tick, SECOND)
    return admit(reading, tick, interval)[0]


async def fill(store: Store, sent: Iterable[Prices | Ranks]) -> None:
    """Write it all."""
    for each in sent:
        await store.write(snapshot(each))


def marker(series: Series, tick: datetime) -> Marker:
    """A marker with its series and tick alone."""
    none = timedelta()
    return Marker(series.name, "acme", tick, 0, 0, 0, none, tick, 0.0, MINUTE, False, False, "")


@cache
def history() -> tuple[Snapshot, ...]:
    """Minutes from FIRST to BEFORE_GAP and from AFTER_GAP to NEWEST; the decimals of each price are its minute."""
    ticks = [FIRST + minute * MINUTE for minute in (*range(11), *range(30, 38))]
    return tuple(snapshot(sent) for tick in ticks for sent in (_prices(tick), _ranks(tick)))


def _prices(tick: datetime) -> Prices:
    moved = tick.minute / 100
    return Prices(
        tick,
        [
            (1, "BTC", "Bitcoin", 92000 + moved, 9e10),
            (1027, "ETH", "Ethereum", 3000 + moved, 4e10),
            (825, "USDT", "Tether, USDt", 1 + moved, 8e10),
            (32196, "=SUM(A1)", 'He said "buy"', 1e-8 + moved / 1e10, 5e3),
            (5805, None, None, 20 + moved, 1e8),
            (99, "NOVOL", "Unranked", 7 + moved, 1e9),
        ],
    )


def _ranks(tick: datetime) -> Ranks:
    return Ranks(tick, [(1, 9.5e10), (1027, 4.5e10), (825, 1.2e11), (32196, 6e3), (5805, 2e8), (77, 3e9)])


def large_market(seed: int, assets: int, newest: datetime = NEWEST) -> list[Prices | Ranks]:
    """Two sources that disagree on volumes, over three minutes: tiers differ, tiers move, ids are missing."""
    chance = random.Random(seed)
    ids = chance.sample(range(1, 40_000), assets)
    volumes = {id_: 1e10 / place**1.3 for place, id_ in enumerate(ids, 1)}
    sent: list[Prices | Ranks] = []
    for minute in range(3):
        noise = chance.choice([0.0, 0.3, 3.0])
        prices: list[PriceRow] = []
        ranks: list[RankRow] = []
        for id_, volume in volumes.items():
            if chance.random() < 0.9:
                own = chance.choice(
                    [volume * chance.lognormvariate(0, noise), 0.0, None][: chance.choice([1, 1, 1, 3])]
                )
                prices.append((id_, f"S{id_ % 50}", f"Asset {id_}", chance.lognormvariate(0, 5), own))
            times = chance.choice([0, *[1] * 18, 2])
            ranks += [(id_, volume * chance.lognormvariate(0, noise)) for _ in range(times)]
        chance.shuffle(prices)
        chance.shuffle(ranks)
        tick = newest - (3 - minute) * MINUTE
        sent += [Prices(tick, prices), Ranks(tick + chance.choice([-20, 0, 20]) * SECOND, ranks)]
    return sent


class CountingStore(MemoryStore):
    """Counts the questions it is asked."""

    asked = 0

    async def ready(self) -> None:
        """See `Store.ready`; every question passes here."""
        self.asked += 1
        await super().ready()


def stocked(clock: FakeClock) -> CountingStore:
    """A store with the history in it."""
    store = CountingStore(clock)
    store.snapshots = {(each.series.name, each.tick): each for each in history()}
    return store


@asynccontextmanager
async def calling(store: Store, clock: FakeClock, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API over a store, in process."""
    given = {"max_skew": MINUTE, "max_age": MAX_AGE, "spools": NO_SPOOLS, "timer": lambda: clock().timestamp()}
    app = create_app(store, clock=clock, **{**given, **options})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://topcoins") as client:
        yield client
