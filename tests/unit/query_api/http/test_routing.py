"""Routes: what FastAPI derives from an endpoint is shared by all apps, and nothing else is."""

import httpx

from query_api.app import create_app
from query_api.http.routing import _DERIVED
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import MARKET_CAP, MAX_AGE, MINUTE, NO_SPOOLS, NOW, calling, stocked


async def test_each_app_answers_from_its_own_store():
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as full, calling(MemoryStore(clock), clock) as empty:
        for path in ("/", "/v1/assets/1"):
            assert [(await client.get(path)).status_code for client in (full, empty, full)] == [200, 404, 200]


async def test_an_endpoint_is_inspected_once_for_all_apps_with_the_same_columns():
    clock = FakeClock(NOW)
    for extras in ((), (MARKET_CAP,)):
        counts = []
        for _ in range(2):
            create_app(
                stocked(clock), clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS, extras=[*extras]
            )
            counts.append(len(_DERIVED))
        assert counts[0] == counts[1]


async def test_an_app_takes_the_columns_of_its_own_extra_series_alone():
    clock = FakeClock(NOW)
    url = "/v1/top?format=csv&columns=supply"
    statuses = []
    for extras in ((MARKET_CAP,), (), (MARKET_CAP,)):
        async with calling(stocked(clock), clock, extras=extras) as client:
            answer: httpx.Response = await client.get(url)
            document = (await client.get("/openapi.json")).text
        statuses.append(answer.status_code)
        assert ("supply" in document) == bool(extras)
    assert statuses == [200, 422, 200]
