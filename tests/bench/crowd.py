"""What long requests cost the short ones: lists, probes and metrics beside a crowd; and a day of minutes as CSV."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from lib.clock import isoformat, slot, utc_now
from tests.bench.influx import fill
from tests.bench.servers import MINUTE, Server, fill_history, query_api, report
from tests.flow.crowd import Crowd
from tests.influxd import Bucket, fresh_influxd, set_up

ASSETS = 300
TICKS = 60
DAY = 1440
ROUNDS = 60
PATHS = ("/v1/top?limit=200&datetime={}", "/readyz", "/metrics")


async def beside_a_crowd(folder: Path) -> None:
    """12 exports, 100 idle streams and 20 slow readers: how long the others wait, on either store."""
    path = folder / "hours.db"
    last = await fill_history(path, assets=ASSETS, ticks=TICKS)
    async with query_api(f"sqlite:///{path}") as api:
        await _measure("SQLite", api, last - TICKS * MINUTE)
    with fresh_influxd(folder) as url:
        server = set_up(url)
        for name in ("hours", "hours_hourly"):
            server.make_bucket(name)
        last = slot(utc_now(), MINUTE)
        await fill(Bucket(server, "hours"), ASSETS, last, count=TICKS)
        environ = {"TOPCOINS_INFLUX_BUCKET": "hours", "TOPCOINS_INFLUX_TOKEN": server.token}
        async with query_api(server.url, **environ) as api:
            await _measure("InfluxDB", api, last - TICKS * MINUTE)


async def a_day_as_csv(folder: Path) -> None:
    """`/v1/export` of the top 200 at each minute of a day, as CSV, from SQLite."""
    path = folder / "day.db"
    last = await fill_history(path, assets=ASSETS, ticks=DAY)
    span = {"from": isoformat(last - (DAY - 1) * MINUTE), "to": isoformat(last + timedelta(seconds=1)), "every": "1m"}
    async with query_api(f"sqlite:///{path}") as api, httpx.AsyncClient(timeout=120) as client:
        began = time.perf_counter()
        answer = await client.get(f"http://127.0.0.1:{api.port}/v1/export", params={**span, "top": "200"})
        took = time.perf_counter() - began
    print(
        f"{answer.headers['x-steps']} steps, {len(answer.content) / 2**20:.0f} MiB in {took:.1f} s (wanted: under 4 s)"
    )


async def _measure(name: str, api: Server, first: datetime) -> None:
    span = f"from={isoformat(first + MINUTE)}&to={isoformat(first + (TICKS - 1) * MINUTE)}&every=1m"
    base = f"http://127.0.0.1:{api.port}"
    async with httpx.AsyncClient(base_url=base, timeout=60) as client, Crowd(api.port, span) as crowd:
        for path in PATHS:
            took = [await _seconds(client, path.format(_instant(first, number))) for number in range(ROUNDS)]
            report(f"{name}, {path.partition('?')[0]}", took, "within 250 ms")
        print(f"{name}: {crowd.exports} exports came meanwhile; the API's peak {api.peak_mb()} MB", flush=True)


async def _seconds(client: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    (await client.get(path)).raise_for_status()
    return time.perf_counter() - began


def _instant(first: datetime, number: int) -> str:
    return isoformat(first + TICKS * MINUTE - number * timedelta(seconds=59))
