"""Twelve exports, a hundred idle streams, twenty slow readers: lists, probes and metrics are answered all the same."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from lib.clock import isoformat, slot, utc_now
from lib.schema import PRICE, VOLUME_RANK
from lib.store.sqlite import SqliteStore
from tests.flow.crowd import Crowd
from tests.flow.processes import WITHIN_S, Api
from tests.influxd import VERIFIES
from tests.ports import free_port
from tests.sample import sample_snapshot

pytestmark = [pytest.mark.stack, pytest.mark.slow]

MINUTE = timedelta(minutes=1)
MINUTES, ASSETS, ROUNDS = 40, 120, 10


@pytest.fixture(params=["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
def place(request, stage):
    """A store to fill, and an API over it."""
    if request.param == "sqlite":
        return SqliteStore(stage.store, clock=utc_now), stage.api
    bucket = request.getfixturevalue("influx_bucket")

    def api() -> Api:
        port, safe_port = free_port(), free_port()
        settings = {"STORE_URL": bucket.server.url, "INFLUX_ORG": bucket.server.org, "INFLUX_BUCKET": bucket.name}
        secret = {"INFLUX_TOKEN": bucket.token.get_secret_value(), "SPOOL_DIR": stage.folder / "spool"}
        process = stage.start("-m", "query_api", HTTP_PORT=port, HTTP_SAFE_PORT=safe_port, **settings, **secret)
        return Api(process, port, safe_port)

    return bucket.store(utc_now), api


async def test_a_crowd_of_long_requests_keeps_no_list_probe_or_metric_from_its_answer(place):
    store, open_api = place
    last = slot(utc_now(), MINUTE) - MINUTE
    for minute in range(MINUTES):
        for series in (PRICE, VOLUME_RANK):
            await store.write(sample_snapshot(series, last - minute * MINUTE, ASSETS))
    await store.close()
    first = last - MINUTES * MINUTE
    api = await asyncio.to_thread(open_api)
    await asyncio.to_thread(api.answers, "/readyz")
    span = f"from={isoformat(first)}&to={isoformat(last)}&every=5m"
    async with (
        Crowd(api.port, span) as crowd,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{api.port}", trust_env=False, verify=VERIFIES, timeout=WITHIN_S
        ) as client,
    ):
        for number in range(ROUNDS):
            at = isoformat(last - number * timedelta(seconds=61))
            for path in (f"/v1/top?datetime={at}&limit={100 - number}", "/readyz", "/metrics"):
                answer = await client.get(path)
                assert answer.status_code == 200, (path, answer.text)
                assert path != "/metrics" or "topcoins_store_up 1" in answer.text
        while crowd.exports < 3:
            assert (await client.get("/readyz")).status_code == 200
    assert "Traceback" not in api.process.out + api.process.err
