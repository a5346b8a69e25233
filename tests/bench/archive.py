"""What each question to the archive costs, on either store: a day of minutes of few assets, then as a caller asks."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import orjson
from httpx_sse import aconnect_sse
from pydantic import SecretStr

from lib.archive.backfill import fill as buy
from lib.archive.backfill import offers
from lib.archive.imports import imported
from lib.clock import isoformat, slot, utc_now
from lib.schema import PRICE, VOLUME_RANK
from lib.simulator import Market, create_app
from lib.source import Source, read_source
from lib.store import Store
from lib.store.sqlite import SqliteStore
from tests.bench.influx import fill
from tests.bench.servers import MINUTE, Connection, Server, fill_history, query_api, report, timed
from tests.influxd import Bucket, Influxd, fresh_influxd, set_up
from tests.sample import sample_snapshot

ASSETS = 300
TICKS = 1440
SAMPLES = 20
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

Open = Callable[[str], Store]


@dataclass(frozen=True, slots=True)
class Place:
    """A store with a day in it, its address and settings for the API, and how to open it or an empty one by name."""

    name: str
    last: datetime
    url: str
    settings: dict[str, str]
    open: Open


async def each_question(folder: Path) -> None:
    """Every feature of the archive on the embedded store, then on InfluxDB."""
    await _measured(await _embedded(folder), folder)
    with fresh_influxd(folder) as url:
        await _measured(await _influx(set_up(url)), folder)


async def _embedded(folder: Path) -> Place:
    path = folder / "day.db"
    last = await fill_history(path, assets=ASSETS, ticks=TICKS)
    return Place(
        "SQLite", last, f"sqlite:///{path}", {}, lambda name: SqliteStore(folder / f"{name}.db", clock=utc_now)
    )


async def _influx(server: Influxd) -> Place:
    for name in ("day", "imported", "bought"):
        server.make_bucket(name)
        server.make_bucket(f"{name}_hourly")
    last = slot(utc_now(), MINUTE)
    await fill(Bucket(server, "day"), ASSETS, last, count=TICKS)
    settings = {"TOPCOINS_INFLUX_BUCKET": "day", "TOPCOINS_INFLUX_TOKEN": server.token}
    return Place("InfluxDB", last, server.url, settings, lambda name: Bucket(server, name).store(utc_now))


async def _measured(place: Place, folder: Path) -> None:
    async with query_api(place.url, **place.settings) as api:
        connection = await Connection.to(api.port)
        top = orjson.loads(await connection.get(f"/?limit=200&datetime={isoformat(place.last)}"))
        for name, paths in _questions(place.last, [row["cmc_id"] for row in top["data"]]):
            report(f"{place.name}: {name}", await timed(connection, paths))
        export = await _exported(api, place.last, folder)
        report(f"{place.name}: stream, from a write to its event", await _streamed(api, place.open("day")))
    await _imported(place, export)
    await _bought(place, folder)


def _questions(last: datetime, ids: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """Each feature's addresses, none asked twice."""
    chance = random.Random(1)
    back = chance.sample(range(TICKS - 20), SAMPLES)
    past = [isoformat(last - minutes * MINUTE) for minutes in back]
    some = chance.sample(ids, SAMPLES)
    day = f"from={isoformat(last - DAY + MINUTE)}&to={isoformat(last)}"
    listed = ",".join(map(str, ids))
    # Of another span each time: else their instants would be the same, and in memory.
    spans = [TICKS - 7 * n - 1 for n in range(SAMPLES)]
    yield (
        "200 sparklines of 48 points",
        [f"/v1/sparklines?ids={listed}&to={isoformat(last)}&span={minutes}m" for minutes in spans],
    )
    yield "one asset", [f"/v1/assets/{id_}?datetime={at}" for id_, at in zip(some, past, strict=True)]
    yield "its history of a day of minutes", [f"/v1/assets/{id_}/history?{day}&every=1m" for id_ in some]
    yield (
        "movers of the top 200",
        [f"/v1/movers?from={isoformat(last - DAY + MINUTE * (n + 1))}&to={at}&top=200" for n, at in enumerate(past)],
    )
    yield (
        "a list without stablecoins and wrapped coins",
        [f"/v1/top?limit=100&exclude=stablecoins,wrapped&datetime={at}" for at in past],
    )
    known = isoformat(utc_now().replace(microsecond=0))
    yield "a list as it was known", [f"/v1/top?limit=200&datetime={at}&known_at={known}" for at in past]


async def _exported(api: Server, last: datetime, folder: Path) -> Path:
    """A day of hours as a file."""
    asked = {"from": isoformat(last - DAY + MINUTE), "to": isoformat(last), "every": "1h", "format": "parquet"}
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"http://127.0.0.1:{api.port}/v1/export", params=asked)
    path = folder / "day.parquet"
    path.write_bytes(answer.raise_for_status().content)
    return path


async def _streamed(api: Server, store: Store) -> list[float]:
    """Seconds from when the store has a new snapshot to when a listener has its event."""
    took: list[float] = []
    await _write_new(store)
    async with (
        httpx.AsyncClient(timeout=60) as client,
        aconnect_sse(client, "GET", f"http://127.0.0.1:{api.port}/v1/stream") as source,
    ):
        events = source.aiter_sse()
        while len(took) < SAMPLES // 2:
            tick = await _write_new(store)
            began = time.perf_counter()
            while (event := await anext(events)).event != "snapshot" or not _is_of(event.data, tick):
                pass
            took.append(time.perf_counter() - began)
    await store.close()
    return took


def _is_of(event_text: str, tick: str) -> bool:
    event = orjson.loads(event_text)
    return bool(event["series"] == PRICE.name and event["tick"] == tick)


async def _write_new(store: Store) -> str:
    """Both snapshots of a second there are none of, due again in one; the prices last."""
    await asyncio.sleep(1 - utc_now().microsecond / 1e6 + random.random() / 10)
    tick = slot(utc_now(), SECOND)
    for series in (VOLUME_RANK, PRICE):
        new = sample_snapshot(series, tick, ASSETS)
        await store.write(replace(new, marker=replace(new.marker, interval=SECOND)))
    return isoformat(tick)


async def _imported(place: Place, export: Path) -> None:
    store = place.open("imported")
    began = time.perf_counter()
    (done,) = [each async for each in imported([export], store, clock=utc_now)]
    took = time.perf_counter() - began
    print(f"{place.name}: import of {done.written} snapshots: {took / done.written * 1e3:.0f} ms each", flush=True)
    await store.close()


async def _bought(place: Place, folder: Path) -> None:
    """A day's last lists into a gap of two days, of a simulated vendor in this process."""
    store, now = place.open("bought"), utc_now()
    for series in (PRICE, VOLUME_RANK):
        for tick in (now - 2 * DAY, now):
            await store.write(sample_snapshot(series, slot(tick, MINUTE), ASSETS))
    market = httpx.ASGITransport(create_app(Market(1, ASSETS), utc_now))
    async with httpx.AsyncClient(transport=market) as client:
        sources = [_source(package, client) for package in ("ingest_price", "ingest_rank")]
        found = await offers(sources, store, now - 3 * DAY, now=now, spools=folder, assets=ASSETS)
        took = []
        for offer in found:
            began = time.perf_counter()
            done = [each async for each in buy(offer, store, spools=folder, limit=2**24, assets=ASSETS)]
            took.append((time.perf_counter() - began) / len(done))
    report(f"{place.name}: backfill, a day's list of a series", took)
    await store.close()


def _source(package: str, client: httpx.AsyncClient) -> Source:
    file = Path(str(files(package) / "coinmarketcap_historical.toml"))
    return Source(read_source(file), client=client, clock=utc_now, key=SecretStr("key"), url="http://cmc")
