"""As-of on a real InfluxDB: what the answer's size costs, and what the market's."""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import structlog

from ingest_price.source import plan as price_plan
from ingest_rank.source import plan as rank_plan
from lib import settings
from lib.clock import isoformat, slot, utc_now
from lib.delivery import Direct
from lib.service import ingests
from lib.simulator import Market, Plan, create_app
from tests.bench.servers import MINUTE, Connection, median_ms, query_api, timed
from tests.influxd import Bucket, Influxd, fresh_influxd, set_up

TICKS = int(os.environ.get("TOPCOINS_TEST_BENCH_TICKS", "240"))
SAMPLES = 150
LAST = """
p = from(bucket: "{bucket}") |> range(start: {start}, stop: {stop}) |> filter(fn: (r) => r._measurement == "price" and
    r._field == "usd") |> last() |> keep(columns: ["cmc_id", "symbol", "_value"]) |> group()
r = from(bucket: "{bucket}") |> range(start: {start}, stop: {stop}) |> filter(fn: (r) => r._measurement ==
    "volume_rank" and r._field == "rank") |> last() |> keep(columns: ["cmc_id", "_value"]) |> group()
join(tables: {{p: p, r: r}}, on: ["cmc_id"]) |> sort(columns: ["_value_r"]) |> limit(n: 200)
"""


async def cold_instants(folder: Path) -> None:
    """limit=200 and limit=5000 of 5,000 assets, and limit=200 of 500, as of instants nobody asked for before."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with fresh_influxd(folder) as url:
        server = set_up(url)
        last = slot(utc_now(), MINUTE)
        for assets in (500, 5000):
            for name in (f"assets{assets}", f"assets{assets}_hourly"):
                server.make_bucket(name)
            await _fill(Bucket(server, f"assets{assets}"), assets, last)
        asked = [("assets500", 200, SAMPLES), ("assets5000", 200, SAMPLES), ("assets5000", 5000, 20)]
        p50 = {}
        for bucket, limit, samples in asked:
            took = await _answers(server, bucket, limit, _instants(last, samples))
            p50[bucket, limit] = median_ms(took)
            p95 = sorted(took)[len(took) * 95 // 100] * 1000
            print(f"{bucket}, limit={limit}: p50 {median_ms(took):.0f} ms, p95 {p95:.0f} ms")
        print(f"5,000 against 500 assets: {p50['assets5000', 200] / p50['assets500', 200]:.2f} times")
        plain = _plain(server, _instants(last, 10))
        print(f"a plain last() and join of 5,000 for the same list: p50 {median_ms(plain):.0f} ms")


async def _fill(bucket: Bucket, assets: int, last: datetime) -> None:
    at = last
    market = create_app(Market(1, assets), lambda: at, plan=Plan.unlimited())
    chosen = settings.load(
        {"TOPCOINS_ASSETS": str(assets), "TOPCOINS_CMC_API_KEY": "bench", "TOPCOINS_COINDESK_API_KEY": "bench"}
    )
    store = bucket.store(lambda: at)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(market)) as client:
        work = [
            ingest
            for plan in (price_plan, rank_plan)
            for ingest in ingests(
                plan, chosen, client=client, store=store, deliveries=lambda series: Direct(store), clock=lambda: at
            )
        ]
        for n in range(TICKS):
            at = last - (TICKS - 1 - n) * MINUTE
            await asyncio.gather(*(ingest.tick(at) for ingest in work))
    await store.close()


def _instants(last: datetime, count: int) -> list[str]:
    chosen = random.Random(count).sample(range(TICKS * 60 - 60), count)
    return [isoformat(last - timedelta(seconds=seconds)) for seconds in chosen]


async def _answers(server: Influxd, bucket: str, limit: int, instants: Sequence[str]) -> list[float]:
    environ = {"TOPCOINS_INFLUX_BUCKET": bucket, "TOPCOINS_INFLUX_TOKEN": server.token}
    async with query_api(server.url, **environ) as api:
        connection = await Connection.to(api.port)
        await connection.get(f"/?limit={limit}")
        return await timed(connection, [f"/?limit={limit}&datetime={at}" for at in instants])


def _plain(server: Influxd, instants: Sequence[str]) -> list[float]:
    took = []
    for at in instants:
        stop = datetime.fromisoformat(at)
        flux = LAST.format(bucket="assets5000", start=isoformat(stop - 5 * MINUTE), stop=isoformat(stop))
        began = time.perf_counter()
        server_answer = httpx.post(
            f"{server.url}/api/v2/query",
            params={"org": server.org},
            json={"query": flux},
            headers={"Authorization": f"Token {server.token}"},
            timeout=60,
        )
        server_answer.raise_for_status()
        took.append(time.perf_counter() - began)
    return took
