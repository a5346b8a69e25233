"""What a tick costs: 5,000 assets on both sides, fetched over HTTP, gated and stored."""

import resource
import time
from datetime import timedelta
from pathlib import Path

import httpx
import structlog

from ingest_price.source import plan as price_plan
from ingest_rank.source import plan as rank_plan
from lib import settings
from lib.clock import slot, utc_now
from lib.ingest.delivery import Delivery, ViaSpool
from lib.ingest.service import ingests
from lib.ingest.sources import ServiceSources
from lib.ingest.spool import Spool
from lib.schema import Series
from lib.store.sqlite import SqliteStore
from tests.bench.servers import server
from tests.ports import free_port

ASSETS = 5000


async def one_tick_of_5000(folder: Path) -> None:
    """CPU seconds and peak memory of this process for one tick of both series; the simulator is another process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    port = free_port()
    upstream = f"http://127.0.0.1:{port}"
    chosen = settings.load(
        {
            "TOPCOINS_ASSETS": str(ASSETS),
            "TOPCOINS_CMC_API_KEY": "bench",
            "TOPCOINS_COINDESK_API_KEY": "bench",
            "TOPCOINS_CMC_URL": upstream,
            "TOPCOINS_COINDESK_URL": upstream,
        }
    )
    arguments = ["-m", "lib.cli", "simulate", "--port", str(port), "--assets", str(ASSETS), "--unlimited"]
    async with server(arguments, port), httpx.AsyncClient(timeout=60) as client:
        store = SqliteStore(folder / "store.db", clock=utc_now)

        def spooled(series: Series) -> Delivery:
            spool = Spool(folder / "spool" / series.name, limit=2**30)
            spool.open()
            return ViaSpool(spool, store)

        sources = ServiceSources(chosen, client=client, store=store, clock=utc_now)
        work = [ingest for plan in (price_plan, rank_plan) for ingest in ingests(plan, sources, spooled)]
        first = slot(utc_now(), timedelta(minutes=1))
        for number in range(3):
            cpu, wall = time.process_time(), time.perf_counter()
            kept = [await ingest.tick(first + number * timedelta(minutes=1)) for ingest in work]
            stored = [snapshot.marker.assets if snapshot else None for snapshot in kept]
            print(
                f"tick {number + 1}: {time.process_time() - cpu:.2f} s of CPU, {time.perf_counter() - wall:.2f} s,"
                f" stored {stored}"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory, imports and both series in one process: {peak:.0f} MB")
        await store.close()
