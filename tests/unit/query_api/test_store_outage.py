"""An outage of the store is one line at its start and one at its end."""

import asyncio

import pytest
from structlog.testing import capture_logs

from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from query_api.store_outage import StoreOutage
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import NOW, calling, stocked


class Looks:
    """A sleep that ends once for each `pass_one`."""

    def __init__(self) -> None:
        self._ends: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        await self._ends.get()

    async def pass_one(self) -> None:
        """Let one sleep end, and what follows it."""
        self._ends.put_nowait(None)
        for _ in range(9):
            await asyncio.sleep(0)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(FakeClock())
    store.failure = StoreUnavailable("no route to it")
    return store


async def test_an_outage_is_one_line_at_its_start_and_one_at_its_end(store):
    looks = Looks()
    outage = StoreOutage(store, sleep=looks.sleep, timer=lambda: 7.0)
    with capture_logs() as logs:
        for _ in range(1000):
            outage.failed(StoreUnavailable("no route to it"))
        await looks.pass_one()
        await looks.pass_one()
        assert [line["event"] for line in logs] == ["store failed: requests get 503"]
        store.failure = None
        await looks.pass_one()
    assert [line["event"] for line in logs] == ["store failed: requests get 503", "store answers again"]
    assert logs[0]["why"] == "no route to it"
    assert logs[1]["failed_requests"] == 1000


async def test_another_kind_of_failure_within_an_outage_is_logged(store):
    outage = StoreOutage(store, sleep=Looks().sleep)
    with capture_logs() as logs:
        for kind in (StoreUnavailable, StoreRejected, StoreUnavailable, StoreRejected):
            outage.failed(kind("why"))
    assert [line["kind"] for line in logs] == ["StoreUnavailable", "StoreRejected"]


async def test_while_requests_fail_the_outage_lasts_though_the_store_answers_the_probe(store):
    looks = Looks()
    store.failure = None
    outage = StoreOutage(store, sleep=looks.sleep)
    with capture_logs() as logs:
        outage.failed(StoreMalformed("one broken tick"))
        await asyncio.sleep(0)  # the first look begins
        for _ in range(3):
            outage.failed(StoreMalformed("one broken tick"))
            await looks.pass_one()
        assert len(logs) == 1
        await looks.pass_one()
    assert len(logs) == 2


async def test_requests_of_the_api_share_one_outage():
    clock = FakeClock(NOW)
    store = stocked(clock)
    store.failure = StoreUnavailable("no route to it")
    with capture_logs() as logs:
        async with calling(store, clock) as client:
            for path in ("/", "/v1/top?limit=5", "/readyz", "/v1/assets/1", "/v1/gaps", "/v1/status"):
                assert (await client.get(path)).status_code == 503
    assert [line["event"] for line in logs] == ["store failed: requests get 503"]
