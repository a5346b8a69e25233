"""Both ingestors, wired as the services wire them, over one upstream: each tick's list is requested once."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ingest_price.source
import ingest_rank.source
from lib.ingest.delivery import WriteThrough
from lib.ingest.service import SourcePlan, ingests
from lib.ingest.sources import ServiceSources
from lib.ingest.tick import Ingest
from lib.settings import load
from tests.fakes import NOON, FakeClock, MemoryStore, Upstream, says

MINUTE = timedelta(minutes=1)
LISTED = says(
    {
        "data": [
            {"id": id_, "symbol": "S", "name": "N", "quote": {"USD": {"price": 1.5, "volume_24h": 1e9}}}
            for id_ in range(1, 11)
        ],
        "status": {"error_code": 0, "credit_count": 4},
    }
)


class Both:
    """The two ingestors with a folder for their spools, and one upstream."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.upstream = Upstream(LISTED)
        self.price = self.start(ingest_price.source.plan)
        self.rank = self.start(ingest_rank.source.plan, RANK_SOURCE="coinmarketcap")

    def start(self, plan: SourcePlan, **chosen: Any) -> Ingest:
        settings = load({f"TOPCOINS_{name}": value for name, value in {"ASSETS": "10", **chosen}.items()}, "test")
        client = self.upstream.client
        sources = ServiceSources(settings, client=client, store=self.store, clock=self.clock, folder=self.folder)
        (ingest,) = ingests(plan, sources, lambda series: WriteThrough(self.store))
        return ingest

    async def ticks(self, count: int, *running: Ingest) -> None:
        for _ in range(count):
            for ingest in running:
                assert await ingest.tick(self.clock.now)
            self.clock.now += 5 * MINUTE


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


async def test_so_many_ticks_of_both_are_so_many_requests_and_their_credits_are_counted_once(both):
    await both.ticks(3, both.price, both.rank)
    await both.ticks(3, both.rank, both.price)
    assert len(both.upstream.asked) == 6
    markers = await both.store.markers(NOON, both.clock.now)
    assert len(markers) == 12
    assert sum(marker.credits for marker in markers) == 6 * 4


async def test_each_ingestor_works_alone(both):
    await both.ticks(2, both.price)
    await both.ticks(2, both.rank)
    await both.ticks(1, both.price, both.rank)
    assert len(both.upstream.asked) == 5


async def test_an_answer_that_shows_the_key_is_in_no_file(both):
    key = "canary-key-of-a-client"
    echo = says({"data": [], "status": {"error_code": 1001, "error_message": f"your key is {key}"}}, 401)
    both.upstream = Upstream(lambda request: LISTED(request) if "public-api" in request.url.path else echo(request))
    price = both.start(ingest_price.source.plan, CMC_API_KEY=key)
    await price.tick(both.clock.now)
    assert both.upstream.asked
    files = [path for path in both.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if key.encode() in path.read_bytes()]
