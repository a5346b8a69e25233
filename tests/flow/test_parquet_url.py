"""An export as Parquet is read by its address, in ranges, by tools that know nothing of us."""

from datetime import timedelta

import polars as pl
import pytest

from lib.clock import isoformat, slot, utc_now
from lib.schema import PRICE, VOLUME_RANK
from lib.store.sqlite import SqliteStore
from tests.sample import sample_snapshot

pytestmark = pytest.mark.stack

MINUTE = timedelta(minutes=1)


async def test_polars_scans_an_export_by_its_address(stage):
    store = SqliteStore(stage.store, clock=utc_now)
    tick = slot(utc_now(), MINUTE) - MINUTE
    for series in (PRICE, VOLUME_RANK):
        await store.write(sample_snapshot(series, tick, 30))
    await store.close()
    api = stage.api()
    api.answers("/readyz")
    span = f"from={isoformat(tick)}&to={isoformat(tick + MINUTE)}&every=1m"
    url = f"http://127.0.0.1:{api.port}/v1/export?{span}&format=parquet&top=20"
    top = api.get("/v1/top", datetime=isoformat(tick), limit=20).json()["data"]
    scanned = pl.scan_parquet(url).select("rank", "symbol", "price_usd").collect()
    assert scanned.to_dicts() == [{name: row[name] for name in scanned.columns} for row in top]
