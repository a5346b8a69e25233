"""`/v1/assets?q=`: every asset there ever was, the dead ones too, by id and by any of its names."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from lib.clock import isoformat
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import NEWEST, NOW, Prices, Ranks, calling, fill

DAYS = timedelta(days=1)
MARKET = {
    3: [(1, "BTC", "Bitcoin"), (4172, "LUNA", "Terra"), (900002, "DEAD", "Dead Coin"), (12, "1", "One")],
    2: [(1, "BTC", "Bitcoin"), (4172, "LUNA", "Terra"), (900002, "DEAD", "Dead Coin"), (12, "1", "One")],
    0: [
        (1, "BTC", "Bitcoin"),
        (4172, "LUNC", "Terra Classic"),
        (20314, "LUNA", "Terra 2.0"),
        (31, "WBTC", "Wrapped Bitcoin"),
    ],
}


class CountingNames(MemoryStore):
    """Counts how often the names are read, and since when."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.read = list[str]()

    async def asset_names(self, since):
        self.read.append(isoformat(since))
        return await super().asset_names(since)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def store(clock) -> CountingNames:
    store = CountingNames(clock)
    for days, assets in MARKET.items():
        tick = NEWEST - days * DAYS
        await fill(
            store,
            [
                Prices(tick, [(*asset, 1.0, 1e6) for asset in assets]),
                Ranks(tick, [(asset[0], 1e6) for asset in assets]),
            ],
        )
    return store


@pytest.fixture
async def client(store, clock) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(store, clock) as caller:
        yield caller


SEARCHES = [
    ("btc", [1, 31]),
    ("Bitcoin", [1, 31]),
    ("luna", [20314, 4172]),
    ("LUNC", [4172]),
    ("terra", [4172, 20314]),
    ("900002", [900002]),
    ("dead coin", [900002]),
    ("1", [1, 12]),
    ("coin", [1, 31, 900002]),
    ("nothing such", []),
    ("  ", []),
]


async def test_assets_are_found_by_id_by_ticker_and_by_name_the_best_first(client, subtests):
    for q, ids in SEARCHES:
        with subtests.test(q=q):
            answer = (await client.get("/v1/assets", params={"q": q})).json()
            assert [asset["cmc_id"] for asset in answer["data"]] == ids
            assert answer["count"] == len(ids)


async def test_a_dead_coin_has_its_name_and_the_day_it_left(client):
    (dead,) = (await client.get("/v1/assets?q=dead")).json()["data"]
    assert (dead["symbol"], dead["name"], dead["listed"]) == ("DEAD", "Dead Coin", False)
    assert (dead["first"], dead["last"]) == (isoformat(NEWEST - 3 * DAYS), isoformat(NEWEST - 2 * DAYS))


async def test_a_renamed_asset_has_all_its_names_and_when_it_had_them(client):
    (lunc,) = (await client.get("/v1/assets?q=4172")).json()["data"]
    assert [(name["symbol"], name["last"]) for name in lunc["names"]] == [
        ("LUNA", isoformat(NEWEST - 2 * DAYS)),
        ("LUNC", isoformat(NEWEST)),
    ]
    assert (lunc["symbol"], lunc["listed"], lunc["first"]) == ("LUNC", True, isoformat(NEWEST - 3 * DAYS))


async def test_the_store_is_asked_once_a_minute_and_then_for_what_is_new(client, store, clock):
    for _ in range(3):
        await client.get("/v1/assets?q=btc")
    clock.move(minutes=1)
    tick = NEWEST + timedelta(minutes=1)
    await fill(store, [Prices(tick, [(777, "NEW", "New", 1.0, 1.0)]), Ranks(tick, [(777, 1.0)])])
    assert (await client.get("/v1/assets?q=new")).json()["data"][0]["listed"]
    assert not (await client.get("/v1/assets?q=btc")).json()["data"][0]["listed"]
    assert store.read == ["1970-01-01T00:00:00Z", isoformat(NOW - timedelta(hours=2))]


async def test_a_search_without_a_text_or_with_a_wrong_limit_is_refused(client, subtests):
    for query in ["", "q=", "q=a%0Ab", f"q={'x' * 65}", "q=a&limit=0", "q=a&limit=201"]:
        with subtests.test(query=query):
            assert (await client.get(f"/v1/assets?{query}")).status_code == 422


async def test_the_limit_bounds_the_answer_and_not_the_count(client):
    answer = (await client.get("/v1/assets?q=coin&limit=1")).json()
    assert (answer["count"], len(answer["data"])) == (3, 1)
