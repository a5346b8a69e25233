"""The memory of a long-lived query_api stays under its bound, whatever it is asked."""

import asyncio
import http.client
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lib.clock import slot, utc_now
from lib.schema import OWN
from lib.snapshot import Snapshot, pack_ids
from lib.store.influx import lines
from lib.store.sqlite import SqliteStore
from query_api.features.stream.listener import position_text
from tests.flow.processes import Api, Process, listens
from tests.flow.writer import snapshot
from tests.influxd import Bucket
from tests.ports import free_port

pytestmark = [pytest.mark.stack, pytest.mark.slow]

BOUND = 300 * 2**20
GROWTH = 30 * 2**20
"""How much more it may be at the end than after the first `WARM` requests."""
WARM = 500
A_LINE = 100
"""Ids of one request."""
_WEEK: dict[str, Any] = {"from": "now-7d"}
MINUTE = timedelta(minutes=1)
MANY_IDS = pack_ids(pl.Series(range(1, 50_000, 10)))
"""The members of a list of 5,000, as its marker has them."""


async def fill(path: Path, ticks: Iterable[datetime]) -> None:
    """Both series at these ticks: a few rows, and markers of full size."""
    store = SqliteStore(path, clock=utc_now, durable=False)
    for tick in ticks:
        for series in OWN.values():
            whole = snapshot(series, tick, 0)
            rows = whole.rows.head(20)
            await store.write(Snapshot(series, replace(whole.marker, ids=pack_ids(rows["cmc_id"])), rows))
    await store.close()


def minutes(count: int) -> list[datetime]:
    newest = slot(utc_now(), MINUTE)
    return [newest - number * MINUTE for number in range(count)]


def ask_all(api: Api, paths: Iterable[str]) -> None:
    """Ask these one after the other over one connection; each is answered with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    for path in paths:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, (path, response.status, body[:300])
    connection.close()


def test_sparklines_of_ever_new_ids(fresh_stage):
    """SV-8."""
    asyncio.run(fill(fresh_stage.store, minutes(60)))
    api = fresh_stage.api()
    api.answers("/readyz")
    some = [",".join(map(str, range(first, first + A_LINE))) for first in range(1, A_LINE * 2000, A_LINE)]
    paths = [f"/v1/sparklines?span=50m&points=2&ranks=true&ids={ids}" for ids in some]
    ask_all(api, paths[:WARM])
    warm = api.process.most_memory
    ask_all(api, paths[WARM:])
    assert api.process.most_memory - warm < GROWTH
    assert api.process.most_memory < BOUND


def test_unique_lists(fresh_stage):
    ticks = minutes(60)
    asyncio.run(fill(fresh_stage.store, ticks))
    api = fresh_stage.api()
    api.answers("/readyz")
    first = int(ticks[-1].timestamp())
    paths = [f"/v1/top?datetime={first + number // 2}&limit={1 + number % 2}" for number in range(5000)]
    ask_all(api, paths[:WARM])
    warm = api.process.most_memory
    ask_all(api, paths[WARM:])
    assert api.process.most_memory - warm < GROWTH
    assert api.process.most_memory < BOUND


def test_streams_that_resume_after_hours(fresh_stage):
    """SV-10."""

    async def fill_hours() -> None:
        store = SqliteStore(fresh_stage.store, clock=utc_now, durable=False)
        for tick in minutes(6 * 60):
            for series in OWN.values():
                whole = snapshot(series, tick, 0)
                marker = replace(whole.marker, ids=MANY_IDS, assets=5000)
                await store.write(Snapshot(series, marker, whole.rows.head(1)))
        await store.close()

    async def resume() -> None:
        position = position_text(dict.fromkeys(OWN, utc_now() - timedelta(hours=5, minutes=50)))
        asked = f"GET /v1/stream?last_event_id={position} HTTP/1.1\r\nhost: t\r\n\r\n".encode()
        writers = []
        for number in range(100):
            local = (f"127.0.0.{10 + number % 20}", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port, local_addr=local, limit=2**12)
            writer.write(asked)
            writers.append(writer)
            assert (await reader.readline()).split()[1] == b"200"
        for writer in writers:
            writer.close()

    asyncio.run(fill_hours())
    api = fresh_stage.api()
    api.answers("/readyz")
    asyncio.run(resume())
    assert api.process.most_memory < BOUND


@pytest.fixture
def week(influx_bucket: Bucket) -> Bucket:
    """A week of minutes of both series, markers only: their gaps are asked for, not their rows."""

    async def write() -> None:
        server = influx_bucket.connect()
        for series in OWN.values():
            marker = replace(snapshot(series, utc_now(), 0).marker, ids=MANY_IDS, assets=5000, hash="f" * 32)
            ticks = minutes(7 * 24 * 60)
            for first in range(0, len(ticks), 500):
                points = [lines.marker(replace(marker, tick=tick)) for tick in ticks[first : first + 500]]
                await server.write(influx_bucket.name, b"\n".join(points))
        await server.close()

    asyncio.run(write())
    return influx_bucket


@pytest.mark.influx
def test_the_gaps_of_a_week_asked_for_by_many_pages_at_once(fresh_stage, week):
    """SV-9."""
    port, safe_port = free_port(), free_port()
    settings = {
        "STORE_URL": week.server.url,
        "INFLUX_ORG": week.server.org,
        "INFLUX_BUCKET": week.name,
        "INFLUX_TOKEN": week.token.get_secret_value(),
        "SPOOL_DIR": fresh_stage.folder / "spool",
    }
    process: Process = fresh_stage.start("-m", "query_api", HTTP_PORT=port, HTTP_SAFE_PORT=safe_port, **settings)
    process.until(lambda: listens(port))
    api = Api(process, port, safe_port)
    api.answers("/readyz")
    before = process.most_memory
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: ask_all(api, ["/v1/gaps?from=now-7d"]), range(20)))
    found = api.get("/v1/gaps", None, **_WEEK).json()["series"]["price"]
    assert found["stored"] >= 7 * 24 * 60 - 2
    assert process.most_memory < BOUND
    assert process.most_memory - before < 100 * 2**20
