"""Each way a store can fail: what was fetched waits on disk, and is delivered by itself, in order, when it is back."""

import itertools
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest

from lib.ingest.spool_folder import Counts, counted
from lib.store import Store
from lib.store.influx.server import TIMEOUT
from lib.store.sqlite import SqliteStore
from tests.fakes import FakeClock
from tests.faults.invariants import causes, hold
from tests.faults.proxy import STANDING_IN, Mode, Proxy
from tests.faults.world import World
from tests.influxd import Bucket, Influxd

SERIES = ["price", "volume_rank"]
SOON = timedelta(seconds=1)
"""How long a server that hangs is waited for."""
WAITS = 2
"""So many ticks a store is away."""


def folder_in_its_place(world: World) -> None:
    world.database.rename(world.folder / "kept.db")
    world.database.mkdir()


def folder_goes(world: World) -> None:
    world.database.rmdir()
    (world.folder / "kept.db").rename(world.database)


def not_a_database(world: World) -> None:
    world.database.rename(world.folder / "kept.db")
    world.database.write_bytes(b"no database at all" * 1000)


def no_longer_not_a_database(world: World) -> None:
    (world.folder / "kept.db").rename(world.database)


def half_of_it(world: World) -> None:
    body = world.database.read_bytes()
    (world.folder / "kept.db").write_bytes(body)
    world.database.write_bytes(body[: len(body) // 2])


def a_table_is_another(world: World) -> None:
    (world.folder / "kept.db").write_bytes(world.database.read_bytes())
    with closing(sqlite3.connect(world.database)) as connection:
        connection.execute("DROP TABLE snapshot")
        connection.execute("CREATE TABLE snapshot (other TEXT)")


FILES = {
    "a folder in its place": (folder_in_its_place, folder_goes),
    "a file that is no database": (not_a_database, no_longer_not_a_database),
    "half of the file": (half_of_it, no_longer_not_a_database),
    "a table of another shape": (a_table_is_another, no_longer_not_a_database),
}


@pytest.mark.parametrize("series", SERIES)
@pytest.mark.parametrize("fault", FILES)
async def test_a_file_that_cannot_be_used_is_waited_for(tmp_path, series, fault):
    world = World(tmp_path)
    await world.run(series, 1)
    breaks, mends = FILES[fault]
    breaks(world)
    assert await world.run(series, WAITS) == [True] * WAITS
    mends(world)
    await hold(world, series)
    assert (await causes(world, series))["store"] == WAITS
    assert await world.run(series, 2) == [True, True]
    await hold(world, series)
    assert await causes(world, series) == {}


@pytest.mark.parametrize("series", SERIES)
async def test_a_file_that_another_process_locks_is_waited_for(tmp_path, series):
    world = World(tmp_path, make_store=lambda clock: SqliteStore(tmp_path / "topcoins.db", clock=clock, busy=SOON / 25))
    await world.run(series, 1)
    with closing(sqlite3.connect(world.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await world.run(series, WAITS) == [True] * WAITS
        assert (await causes(world, series))["store"] == WAITS
        await hold(world, series)
    assert await world.run(series, 1) == [True]
    await hold(world, series)
    assert await causes(world, series) == {}


# The real InfluxDB, behind a proxy.

WRITES = {
    "the claim": b"claim,",
    "the question before": b"POST /api/v2/query",
    "the rows": b"cmc_id=",
    "the marker": b"snapshot,",
}
MODES: list[Mode] = ["refuse", "hang", "reset", "cut", "error"]
STATUSES = (401, 403, 404, 408, 429, 500, 502, 503, 504)
REPLIES = [
    *((which, name, reply) for which, (name, reply) in zip(itertools.cycle(WRITES), STANDING_IN.items(), strict=False)),
    *(
        (which, str(status), f"HTTP/1.1 {status} No\r\ncontent-length: 18\r\n\r\n".encode() + b'{"message":"busy"}')
        for status, which in zip(STATUSES, itertools.cycle(WRITES), strict=False)
    ),
]


@pytest.fixture(scope="module")
def bucket(influxd: Influxd) -> Iterator[Bucket]:
    """One world for all tests, because each world has its own time."""
    made = Bucket(influxd, f"faults_{uuid.uuid4().hex}")
    for name in (made.name, f"{made.name}_hourly"):
        influxd.make_bucket(name)
    yield made
    for name in (made.name, f"{made.name}_hourly"):
        influxd.drop_bucket(name)


@asynccontextmanager
async def behind_a_proxy(
    tmp_path, bucket: Bucket, start: datetime, patience: timedelta = TIMEOUT
) -> AsyncIterator[tuple[World, Proxy]]:
    port = urlsplit(bucket.server.url).port
    assert port is not None
    clock = FakeClock(start)
    reader = bucket.store(clock)
    async with Proxy(port) as proxy:
        ours = partial(bucket.store, url=proxy.url, timeout=patience)
        try:
            yield World(tmp_path, clock, make_store=ours, make_reader=lambda clock: Kept(reader)), proxy
        finally:
            await reader.close()


class Kept:
    """A store that stays open: to open one costs more than to ask it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def close(self) -> None:
        """Others still look through it."""


async def store_fails(world: World, proxy: Proxy, series: str, which: str, mode: Mode, error: bytes | None) -> None:
    """Two ticks meet a store that fails; the one after that delivers all three."""
    begins = WRITES[which]
    async with world.opened(series) as ingest:
        assert await world.ticks(ingest, 1) == [True]
        await proxy.fail(mode, lambda request: begins in request, error=error)
        assert await world.ticks(ingest, WAITS) == [True] * WAITS
        assert proxy.met or mode == "refuse"
        await proxy.fail("through")
        await hold(world, series)
        # What was written but not confirmed is stored and also waits in the spool.
        assert (await causes(world, series)).get("store", 0) <= WAITS
        assert await world.ticks(ingest, 1) == [True]
    await hold(world, series)
    assert await causes(world, series) == {}
    assert counted(world.spool_of(series)) == Counts(fetched=WAITS + 2)


@pytest.mark.influx
@pytest.mark.parametrize("which", WRITES)
@pytest.mark.parametrize("mode", MODES)
async def test_a_server_that_fails_at_any_request_of_a_write_is_waited_for(tmp_path, bucket, starts, which, mode):
    patience = SOON if mode == "hang" else TIMEOUT
    async with behind_a_proxy(tmp_path, bucket, next(starts), patience) as (world, proxy):
        await store_fails(world, proxy, "volume_rank" if mode == "cut" else "price", which, mode, None)


@pytest.mark.influx
@pytest.mark.parametrize(("which", "name", "reply"), REPLIES, ids=lambda value: value if isinstance(value, str) else "")
async def test_whatever_answers_in_place_of_the_server_confirms_nothing(tmp_path, bucket, starts, which, name, reply):
    async with behind_a_proxy(tmp_path, bucket, next(starts)) as (world, proxy):
        await store_fails(world, proxy, "price", which, "error", reply)


@pytest.mark.influx
@pytest.mark.parametrize("series", SERIES)
async def test_a_slow_server_is_no_failure(tmp_path, bucket, starts, series):
    async with behind_a_proxy(tmp_path, bucket, next(starts)) as (world, proxy):
        await proxy.fail("delay")
        assert await world.run(series, 2) == [True, True]
        await proxy.fail("through")
        await hold(world, series)
        assert await causes(world, series) == {}


@pytest.mark.influx
async def test_a_bucket_that_is_gone_is_waited_for(tmp_path, influx_bucket):
    world = World(tmp_path, make_store=influx_bucket.store)
    await world.run("price", 1)
    influx_bucket.server.drop_bucket(influx_bucket.name)
    assert await world.run("price", WAITS) == [True] * WAITS
    influx_bucket.server.make_bucket(influx_bucket.name)
    assert await world.run("price", 1) == [True]
    async with world.api() as client:
        price = (await client.get("/v1/gaps")).json()["series"]["price"]
    assert price["stored"] == WAITS + 1  # the first went with its bucket
