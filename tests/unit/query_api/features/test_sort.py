"""`sort` and `more`: any column, over the whole list, with the rank by volume; changes against the lists before."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from lib.clock import isoformat
from lib.columns import CHANGES, COLUMNS, MORE, names
from tests.fakes import FakeClock, MemoryStore
from tests.unit.query_api.market import NEWEST, NOW, Prices, Ranks, calling, fill

CAPS = {1: 9e11, 2: 5e8, 3: None, 4: 7e9, 5: 1e9}
PRICED = [(1, "BTC", "Bitcoin", 92000.0, 9e10), (2, "zed", "Zed", 0.5, 8e10), (3, None, None, 7.0, 7e10),
          (4, "ABC", "Alpha", 7.0, 6e10), (5, "Mid", "middle", 1e-8, 5e10)]  # fmt: skip
RANKED = [(1, 9e10), (2, 8e10), (3, 7e10), (4, 6e10), (5, 5e10)]
HOURS_BEFORE = {"change_1h_pct": 1, "change_24h_pct": 24}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    kinds = {id_: (cap, None, None) for id_, cap in CAPS.items()}
    for hours, factor in ((0, 1.0), (1, 0.5), (24, 2.0)):
        tick = NEWEST - timedelta(hours=hours)
        rows = [(*row[:3], (row[3] or 0) * factor, row[4]) for row in PRICED if hours != 24 or row[0] != 4]
        await fill(store, [Prices(tick, rows, kinds=kinds), Ranks(tick, RANKED)])
    async with calling(store, clock) as caller:
        yield caller


async def column(client: httpx.AsyncClient, name: str, query: str) -> list[object]:
    return [row[name] for row in (await client.get(f"/v1/top?{query}")).json()["data"]]


ORDERS = [
    ("rank", [1, 2, 3, 4, 5]),
    ("-rank", [5, 4, 3, 2, 1]),
    ("price_usd", [5, 2, 3, 4, 1]),
    ("-price_usd", [1, 3, 4, 2, 5]),
    ("symbol", [4, 1, 5, 2, 3]),
    ("-symbol", [2, 5, 1, 4, 3]),
    ("-market_cap_usd", [1, 4, 5, 2, 3]),
    ("market_cap_usd", [2, 5, 4, 1, 3]),
    ("-change_24h_pct", [1, 2, 3, 5, 4]),
]


async def test_a_list_is_sorted_by_any_column_nulls_last_and_its_ranks_stay(client, subtests):
    for sort, ids in ORDERS:
        with subtests.test(sort=sort):
            assert await column(client, "cmc_id", f"sort={sort}") == ids
            assert await column(client, "rank", f"sort={sort}") == ids  # here an asset's rank is its id


async def test_the_whole_list_is_sorted_before_the_limit(client):
    assert await column(client, "cmc_id", "sort=price_usd&limit=2") == [5, 2]
    assert await column(client, "cmc_id", "sort=price_usd&limit=1&ids=1,3,4") == [3]
    csv = await client.get("/v1/top?sort=-price_usd&limit=2&format=csv")
    assert csv.text == "Rank,Symbol,Price USD\r\n1,BTC,92000.0\r\n3,,7.0\r\n"


async def test_every_column_may_be_sorted_by(client, subtests):
    for name in names((*COLUMNS, *MORE)):
        with subtests.test(name):
            rows = (await client.get(f"/v1/top?sort={name}")).json()["data"]
            assert len(rows) == 5
            assert name in rows[0]


async def test_changes_compare_with_the_lists_so_long_before(client):
    more = ",".join(CHANGES)
    (btc, *_, alpha, _) = (await client.get(f"/v1/top?more={more}")).json()["data"]
    assert [btc[name] for name in CHANGES] == [100.0, -50.0, None]
    assert [alpha[name] for name in CHANGES] == [100.0, None, None]  # it was not listed a day before
    for name, hours in HOURS_BEFORE.items():
        before = (await client.get(f"/v1/top?datetime=now-{hours}h")).json()["data"][0]["price_usd"]
        assert btc[name] == pytest.approx((btc["price_usd"] / before - 1) * 100)


async def test_the_etag_of_now_changes_with_the_list_that_its_changes_compare_with() -> None:
    clock = FakeClock(NOW)
    store = MemoryStore(clock)
    day_before = NEWEST - timedelta(days=1)
    for tick in (NEWEST, day_before - timedelta(minutes=1)):
        await fill(store, [Prices(tick, PRICED), Ranks(tick, RANKED)])
    tags = []
    async with calling(store, clock) as client:
        for _ in range(2):
            tags.append((await client.get("/v1/top?more=change_24h_pct")).headers["etag"])
            await fill(store, [Prices(day_before, PRICED[1:]), Ranks(day_before, RANKED)])
            clock.move(seconds=1)
    assert tags[0] != tags[1]


async def test_further_columns_come_on_request_alone(client):
    plain = (await client.get("/v1/top")).json()["data"][0]
    assert not {name.name for name in MORE} & plain.keys()
    more = (await client.get("/v1/top?more=market_cap_usd")).json()["data"][0]
    assert more == plain | {"market_cap_usd": 9e11}
    csv = await client.get("/v1/top?format=csv&columns=rank,market_cap_usd&limit=1")
    assert csv.text == "rank,market_cap_usd\r\n1,900000000000.0\r\n"


async def test_the_changes_of_a_past_list_are_kept_long_only_where_the_lists_before_are_final(client):
    at = isoformat(NEWEST - timedelta(minutes=59))
    headers = [
        (await client.get(f"/v1/top?datetime={at}&max_age=2m{more}")).headers for more in ("", "&more=change_1h_pct")
    ]
    assert [each["cache-control"] for each in headers][1] == "public, max-age=30"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("sort=nonsense", "sort"), ("sort=--rank", "sort"), ("more=nonsense", "more"), ("more=", "more")],
)
async def test_a_column_that_is_none_is_refused_by_name(client, query, parameter):
    answer = await client.get(f"/v1/top?{query}")
    assert (answer.status_code, answer.json()["parameter"]) == (422, parameter)
    assert "market_cap_usd" in answer.json()["detail"]
