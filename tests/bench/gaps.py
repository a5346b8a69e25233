"""`/v1/gaps` of a week of minutes of both series, from either store: time, CPU of the API, and its memory."""

import sqlite3
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from lib.clock import slot, utc_now
from lib.schema import OWN
from lib.snapshot import Marker
from lib.store.influx import lines
from lib.store.influx.server import Server
from lib.store.sqlite import SqliteStore
from tests.bench.servers import MINUTE, Connection, query_api
from tests.contract.snapshots import snapshot
from tests.influxd import fresh_influxd, set_up

TICKS = 7 * 24 * 60
REQUESTS = 10
IDS = "x" * 1500
"""As long as the packed ids of 5,000 assets."""
A_REQUEST = 1000
"""Minutes written together."""
_COPY = """INSERT INTO snapshot ({columns})
  WITH RECURSIVE copies (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copies WHERE number < {copies})
  SELECT {shifted} FROM copies, snapshot"""


async def of_a_week(folder: Path) -> None:
    """The target is 200 ms and 20 MB."""
    await _fill_sqlite(folder / "week.db")
    await _measure("SQLite", f"sqlite:///{folder / 'week.db'}")
    with fresh_influxd(folder) as url:
        server = set_up(url)
        for name in ("week", "week_hourly"):
            server.make_bucket(name)
        await _fill_influx(Server(url, org=server.org, token=SecretStr(server.token)))
        await _measure("InfluxDB", url, TOPCOINS_INFLUX_BUCKET="week", TOPCOINS_INFLUX_TOKEN=server.token)


async def _measure(store: str, url: str, **environ: str) -> None:
    async with query_api(url, **environ) as api:
        connection = await Connection.to(api.port)
        await connection.get("/v1/gaps?from=now-1h")
        memory, cpu, took = api.peak_mb(), api.cpu_s(), []
        for number in range(REQUESTS):
            began = time.perf_counter()
            # Each is a request of its own, which no cache answers.
            await connection.get(f"/v1/gaps?from=now-{7 * 24 * 3600 - number}s")
            took.append(time.perf_counter() - began)
        median = sorted(took)[REQUESTS // 2] * 1e3
        print(
            f"{store}: p50 {median:.0f} ms, best {min(took) * 1e3:.0f} ms (wanted: 200 ms), CPU of the API"
            f" {(api.cpu_s() - cpu) / REQUESTS * 1e3:.0f} ms each, its memory grew by {api.peak_mb() - memory} MB"
            " (wanted: 20 MB)",
            flush=True,
        )


async def _fill_sqlite(path: Path) -> None:
    store = SqliteStore(path, clock=utc_now, durable=False)
    for series in OWN.values():
        await store.write(snapshot(series, slot(utc_now(), MINUTE), [{}]))
    await store.close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE snapshot SET ids = ?", (IDS,))
        names = [name for _, name, *_ in file.execute("PRAGMA table_info(snapshot)")]
        times = ("tick", "observed_at", "stored_at")
        shifted = ", ".join(f"{name} - 60 * number" if name in times else name for name in names)
        file.execute(_COPY.format(columns=", ".join(names), shifted=shifted, copies=TICKS))
    file.close()


async def _fill_influx(server: Server) -> None:
    """The markers alone: gaps read no rows."""
    newest = [snapshot(series, slot(utc_now(), MINUTE), [{}]).marker for series in OWN.values()]
    for first in range(0, TICKS + 1, A_REQUEST):
        minutes = range(first, min(first + A_REQUEST, TICKS + 1))
        written = [_earlier(marker, number) for number in minutes for marker in newest]
        await server.write("week", b"\n".join(lines.marker(marker) for marker in written))
    await server.close()


def _earlier(marker: Marker, minutes: int) -> Marker:
    """A copy so many minutes before."""

    def before(at: datetime) -> datetime:
        return at - minutes * MINUTE

    return replace(
        marker,
        ids=IDS,
        tick=before(marker.tick),
        observed_at=before(marker.observed_at),
        stored_at=before(marker.visible_since),
    )
