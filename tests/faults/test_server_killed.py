"""kill -9 of a real InfluxDB at each request of a write: restarted on its files, it and all services go on."""

from functools import partial
from urllib.parse import urlsplit

import pytest

from lib.errors import StoreUnavailable
from lib.ingest.spool_folder import Counts, counted
from tests.fakes import FakeClock
from tests.faults.invariants import causes, hold
from tests.faults.proxy import Proxy
from tests.faults.world import SERIES, World
from tests.influxd import Bucket, PrivateServer, set_up

pytestmark = [pytest.mark.influx, pytest.mark.xdist_group("server killed")]

MOMENTS = {
    "before the claim": (b"claim,", 0),
    "before the question": (b"POST /api/v2/query", 0),
    "before the rows": (b"cmc_id=", 0),
    "between the rows and the marker": (b"snapshot,", 60),
}
"""The request that finds the server dead, and about how many rows it had confirmed by then."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with PrivateServer(tmp_path_factory.mktemp("influxd")) as started:
        yield started


@pytest.fixture(scope="module")
def first(server) -> Bucket:
    """The bucket of the set-up, with its companion."""
    bucket = Bucket(set_up(server.url), "first")
    bucket.server.make_bucket("first_hourly")
    return bucket


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_server_killed_at_any_request_of_a_write_loses_nothing_and_shows_no_half_snapshot(
    tmp_path, server, first, starts, moment
):
    begins, written = MOMENTS[moment]
    port = urlsplit(server.url).port
    assert port is not None
    alive = True

    def kills(request: bytes) -> bool:
        nonlocal alive
        if alive and begins in request:
            server.kill()
            alive = False
        return not alive

    async with Proxy(port) as proxy:
        clock = FakeClock(next(starts))
        world = World(tmp_path, clock, make_store=partial(first.store, url=proxy.url), make_reader=first.store)
        async with world.opened("price") as ingest:
            assert await world.ticks(ingest, 1) == [True]
            tick = clock.now
            await proxy.fail("reset", kills)
            assert await world.ticks(ingest, 2) == [True, True]
            assert not alive
            await the_api_says_that_the_store_is_away(world)
            server.start()
            await proxy.fail("through")
            assert await rows_of(world, tick) == pytest.approx(written, abs=written / 10)
            await hold(world, "price")
            assert await world.ticks(ingest, 1) == [True]
        await hold(world, "price")
        assert await causes(world, "price") == {}
        assert counted(world.spool_of("price")) == Counts(fetched=4)


async def rows_of(world: World, tick) -> int:
    """What the server has of a tick, marker or not."""
    store = world.open_reader()
    found = await store.rows(SERIES["price"], tick)
    assert not await store.markers(tick, tick)
    await store.close()
    return len(found)


async def the_api_says_that_the_store_is_away(world: World) -> None:
    store = world.open_reader()
    with pytest.raises(StoreUnavailable):
        await store.ready()
    await store.close()
    async with world.api() as client:
        answer = await client.get("/v1/top")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
