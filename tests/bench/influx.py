"""As-of on a real InfluxDB: what the answer's size costs, and what the market's."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
from prometheus_client.parser import text_string_to_metric_families

from lib import settings
from lib.clock import isoformat, slot, utc_now
from lib.ingest.gate import admit
from lib.schema import ID, PRICE, VOLUME_RANK, Series
from lib.simulator import Market
from lib.snapshot import Snapshot
from lib.source import Reading
from lib.store.influx import lines
from lib.store.influx.disk import row_size
from lib.store.influx.flux import hourly
from lib.store.influx.server import Server
from tests.bench.servers import MINUTE, Connection, median_ms, query_api, report, timed
from tests.influxd import Bucket, Influxd, fresh_influxd, set_up

TICKS = int(os.environ.get("TOPCOINS_TEST_BENCH_TICKS", "1440"))
A_REQUEST = 10
"""Ticks written together."""
SAMPLES = 150
HOUR = timedelta(hours=1)
MONTH = 720
FEW = 20
QUIET_S = 5
PACKING = ("storage_compactions_active", "storage_compactions_queued")
PLAIN = """
import "join"

newest = (measurement, field) => from(bucket: "{bucket}")
    |> range(start: {start}, stop: {stop})
    |> filter(fn: (r) => r._measurement == measurement and r._field == field)
    |> last()
    |> group()
ranks = newest(measurement: "volume_rank", field: "rank") |> sort() |> limit(n: 300)
join.inner(
    left: ranks,
    right: newest(measurement: "price", field: "usd"),
    on: (l, r) => l.cmc_id == r.cmc_id,
    as: (l, r) => ({{rank: l._value, cmc_id: l.cmc_id, symbol: r.symbol, usd: r._value}}),
) |> sort(columns: ["rank"]) |> limit(n: 200)
"""


async def cold_instants(folder: Path) -> None:
    """limit=200 and limit=5000 of 5,000 assets, and limit=200 of 500, as of instants not requested before."""
    with fresh_influxd(folder) as url:
        server = set_up(url)
        last = slot(utc_now(), MINUTE)
        for assets in (500, 5000):
            for name in (f"assets{assets}", f"assets{assets}_hourly"):
                server.make_bucket(name)
            began = time.perf_counter()
            await fill(Bucket(server, f"assets{assets}"), assets, last)
            print(f"filled {TICKS} ticks of {assets} assets in {time.perf_counter() - began:.0f} s", flush=True)
        await _settled(url)
        await _report_size(server)
        small = await _answers(server, "assets500", 200, _instants(last, SAMPLES))
        large = await _answers(server, "assets5000", 200, _instants(last, SAMPLES))
        report("500 assets, limit=200", small)
        report("5,000 assets, limit=200", large, "p50 under 60 ms and p95 under 120 ms")
        print(f"5,000 against 500 assets: {median_ms(large) / median_ms(small):.2f} times (wanted: at most 1.5)")
        report("a plain last() of both series and a join, for the same list", _plain(server, _instants(last, FEW)))
        report("5,000 assets, limit=5000", await _answers(server, "assets5000", 5000, _instants(last, FEW)), "800 ms")


async def a_month_of_hours(folder: Path) -> None:
    """`/v1/export` of the top 200 of 1,000 assets at each hour of 30 days, in each format, and the API's memory."""
    with fresh_influxd(folder) as url:
        server = set_up(url)
        for name in ("month", "month_hourly"):
            server.make_bucket(name)
        last = slot(utc_now(), HOUR)
        await fill(Bucket(server, "month"), 1000, last, count=MONTH, every=HOUR)
        span = {"from": isoformat(last - (MONTH - 1) * HOUR), "to": isoformat(last + timedelta(seconds=1))}
        environ = {"TOPCOINS_INFLUX_BUCKET": "month", "TOPCOINS_INFLUX_TOKEN": server.token}
        async with query_api(server.url, **environ) as api, httpx.AsyncClient(timeout=300) as client:
            for format in ("csv", "ndjson", "parquet"):
                began, size = time.perf_counter(), 0
                asked = {**span, "every": "1h", "top": "200", "format": format}
                async with client.stream("GET", f"http://127.0.0.1:{api.port}/v1/export", params=asked) as answer:
                    async for chunk in answer.aiter_bytes():
                        size += len(chunk)
                print(
                    f"{format}: {answer.headers['x-steps']} steps, {size / 2**20:.1f} MiB in"
                    f" {time.perf_counter() - began:.1f} s (wanted: under 60 s); the API's peak {api.peak_mb()} MB",
                    flush=True,
                )


async def fill(bucket: Bucket, assets: int, last: datetime, *, count: int = TICKS, every: timedelta = MINUTE) -> None:
    """Ticks up to `last` as they are ordinarily made and written, but for the HTTP and some ticks to a request.

    Hours are in the hourly bucket too, as the server's task has them.
    """
    market = Market(1, assets, events_at=last - count // 2 * every)
    server = Server(bucket.server.url, org=bucket.server.org, token=bucket.token, timeout=timedelta(minutes=1))
    ticks = [last - n * every for n in reversed(range(count))]
    for some in (ticks[at : at + A_REQUEST] for at in range(0, count, A_REQUEST)):
        snapshots = [snapshot for tick in some for snapshot in snapshots_of(market, tick)]
        for name in [bucket.name, hourly(bucket.name)] if every == HOUR else [bucket.name]:
            await server.write(name, b"\n".join(lines.rows(snapshot) for snapshot in snapshots))
            await server.write(name, b"\n".join(lines.marker(each.marker) for each in snapshots))
    await server.close()


def snapshots_of(market: Market, tick: datetime) -> list[Snapshot]:
    """Both sources' lists of a minute: they disagree about volumes, and the rank source does not know all ids."""
    listing = market.at(tick)
    columns = {
        ID: listing.ids,
        "symbol": listing.symbols,
        "name": listing.names,
        "usd": listing.price,
        "volume_usd": listing.volume_24h,
        "market_cap_usd": listing.market_cap,
        "updated_at": listing.last_updated.astype(float),
        "stablecoin": [0.0] * len(listing.ids),
        "wrapped": [0.0] * len(listing.ids),
    }
    price = pl.DataFrame(columns)
    rank = pl.DataFrame({ID: listing.ids, "volume_usd": listing.venue_volume})
    known = rank.filter(~pl.col(ID).is_in([*market.oddities.unlinked, *market.oddities.elsewhere]))
    return [_admitted(PRICE, price, tick), _admitted(VOLUME_RANK, known, tick)]


def _admitted(series: Series, rows: pl.DataFrame, tick: datetime) -> Snapshot:
    reading = Reading("simulated", series, rows, len(rows), {}, 1.0, tick, timedelta(seconds=1))
    return admit(reading, tick, MINUTE)[0]


async def _settled(url: str) -> None:
    """Wait until the server has packed what was written."""
    async with httpx.AsyncClient() as client:
        quiet = 0
        while quiet < QUIET_S:
            await asyncio.sleep(1)
            metrics = text_string_to_metric_families((await client.get(f"{url}/metrics")).text)
            busy = sum(sample.value for family in metrics if family.name in PACKING for sample in family.samples)
            quiet = 0 if busy else quiet + 1


async def _report_size(server: Influxd) -> None:
    chosen = settings.load(
        {
            "TOPCOINS_STORE_URL": server.url,
            "TOPCOINS_INFLUX_BUCKET": "assets5000",
            "TOPCOINS_INFLUX_TOKEN": server.token,
        }
    )
    async with httpx.AsyncClient() as client:
        size = await row_size(chosen, client, "1m", enough=1)
    print(f"on disk, {size.rows:,} rows: {size.bytes:.1f} bytes a row", flush=True)


def _instants(last: datetime, count: int) -> list[str]:
    chosen = random.Random(count).sample(range(TICKS * 60 - 60), count)
    return [isoformat(last - timedelta(seconds=seconds)) for seconds in chosen]


async def _answers(server: Influxd, bucket: str, limit: int, instants: Sequence[str]) -> list[float]:
    environ = {"TOPCOINS_INFLUX_BUCKET": bucket, "TOPCOINS_INFLUX_TOKEN": server.token}
    async with query_api(server.url, **environ) as api:
        connection = await Connection.to(api.port)
        await connection.get(f"/?limit={limit}&datetime={instants[0]}")
        return await timed(connection, [f"/?limit={limit}&datetime={at}" for at in instants])


def _plain(server: Influxd, instants: Sequence[str]) -> list[float]:
    took = []
    with httpx.Client(headers={"Authorization": f"Token {server.token}"}, timeout=60) as client:
        for at in instants:
            stop = datetime.fromisoformat(at)
            flux = PLAIN.format(bucket="assets5000", start=isoformat(stop - 5 * MINUTE), stop=isoformat(stop))
            began = time.perf_counter()
            answer = client.post(f"{server.url}/api/v2/query", params={"org": server.org}, json={"query": flux})
            answer.raise_for_status()
            took.append(time.perf_counter() - began)
            assert answer.text.count("\n") > 200
    return took
