"""The port of metrics: it has `/metrics` without a key, and nothing else."""

import httpx

from query_api.app import create_app
from query_api.middleware.access import Access
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NO_SPOOLS, NOW, stocked
from tests.unit.query_api.middleware.test_access import KEYS

PORT = 9668


async def ask(port: int, path: str, **headers: str) -> httpx.Response:
    """What an API that needs keys answers on one of its ports."""
    clock = FakeClock(NOW)
    app = create_app(
        stocked(clock), clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS, access=Access(keys=KEYS),
        metrics_port=PORT,
    )  # fmt: skip
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://topcoins:{port}") as client:
        return await client.get(path, headers=headers)


async def test_metrics_need_no_key_on_their_own_port_and_one_on_all_others():
    assert "topcoins_store_up 1" in (await ask(PORT, "/metrics")).text
    assert (await ask(6667, "/metrics")).status_code == 401


async def test_the_port_of_metrics_has_nothing_else():
    for path in ("/", "/v1/top", "/v1/status", "/healthz", "/docs", "/metrics/", "/nowhere"):
        answer = await ask(PORT, path)
        assert answer.status_code == 404, path
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_header_does_not_choose_the_port():
    assert (await ask(6667, "/metrics", host=f"topcoins:{PORT}")).status_code == 401
    forwarded = {"x-forwarded-port": str(PORT), "x-forwarded-host": f"topcoins:{PORT}"}
    assert (await ask(6667, "/metrics", **forwarded)).status_code == 401
