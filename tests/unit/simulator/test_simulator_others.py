"""CoinPaprika's and CoinGecko's lists of the simulated market."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request

from lib.simulator import Fault, Market, Plan
from lib.simulator.answer import Answer
from lib.simulator.coingecko import CoinGecko
from lib.simulator.coinpaprika import CoinPaprika
from lib.simulator.feed import MarketFeed
from lib.simulator.refusals import RequestRefused
from lib.simulator.vendor import COINGECKO, Serve, Usage
from tests.unit.simulator.upstreams import Hands, Open

TICKERS = "/v1/tickers"
MARKETS = "/api/v3/coins/markets"
V3 = "/v3/cryptocurrency/listings/latest"


async def tickers(caller: Any) -> Any:
    return (await caller.client.get(TICKERS, params={"quotes": "USD"})).json()


async def markets(caller: Any, **params: Any) -> Any:
    return (await caller.client.get(MARKETS, params={"vs_currency": "usd", "order": "volume_desc", **params})).json()


async def test_all_tickers_come_in_one_answer_by_market_cap_and_end_at_2000(simulate: Open):
    listed = await tickers(simulate(Market(assets=2500)))
    caps = [row["quotes"]["USD"]["market_cap"] for row in listed]
    assert caps == sorted(caps, reverse=True)
    assert [row["rank"] for row in listed] == list(range(1, 2001))


async def test_prices_and_volumes_are_near_coinmarketcaps_and_not_the_same(simulate: Open):
    caller = simulate()
    theirs = {row["name"]: row["quotes"]["USD"] for row in await tickers(caller)}
    for record in (await caller.cmc(V3)).json()["data"]:
        price = record["quote"][0]["price"]
        assert theirs[record["name"]]["price"] != price
        assert theirs[record["name"]]["price"] == pytest.approx(price, rel=0.05)


async def test_tickers_change_every_ten_minutes_only(simulate: Open, clock: Hands):
    caller = simulate()
    lists = []
    for _ in range(3):
        lists.append(await tickers(caller))
        clock.move(timedelta(minutes=5))
    assert lists[0] == lists[1] != lists[2]


async def test_markets_have_pages_of_250_by_volume(simulate: Open):
    caller = simulate(Market(assets=600))
    pages = [await markets(caller, per_page=250, page=page) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [250, 250, 101, 0]  # one asset is CoinGecko's alone
    volumes = [row["total_volume"] for page in pages for row in page]
    assert volumes == sorted(volumes, reverse=True)
    assert len({row["id"] for page in pages for row in page}) == 601


async def test_ids_that_look_like_coinmarketcaps_are_of_other_assets(simulate: Open):
    caller = simulate()
    listed = {row["id"]: row["name"] for row in await markets(caller, per_page=250) + await markets(caller, page=3)}
    cmc = {str(row["id"]): row for row in (await caller.cmc("/v1/cryptocurrency/map")).json()["data"]}
    slugs = {row["slug"]: row["name"] for row in cmc.values()}
    assert listed["825"] != cmc["825"]["name"]
    assert listed["simulated-twin-a"] != slugs["simulated-twin-a"]
    assert "825" in {row["id"] for row in await tickers(caller)}


async def test_contracts_of_both_lists_are_those_of_the_map(simulate: Open):
    caller = simulate()
    named = {
        row["name"]: row["platform"]["token_address"]
        for row in (await caller.cmc("/v1/cryptocurrency/map")).json()["data"]
        if row["platform"]
    }
    coins = (await caller.client.get("/api/v3/coins/list", params={"include_platform": "true"})).json()
    assert {row["name"]: next(iter(row["platforms"].values())) for row in coins if row["platforms"]} == named
    chains = (await caller.client.get("/v1/contracts")).json()
    contracts = [row for chain in chains for row in (await caller.client.get(f"/v1/contracts/{chain}")).json()]
    names = {row["id"]: row["name"] for row in await tickers(caller)}
    assert {names[row["id"]]: row["address"] for row in contracts} == named


async def test_a_chain_without_contracts_is_empty_and_an_unknown_one_a_404(simulate: Open):
    client = simulate().client
    assert (await client.get("/v1/contracts/sol-solana")).json() == []
    answer = await client.get("/v1/contracts/none")
    assert (answer.status_code, answer.json()) == (404, {"error": "id not found"})


def answer(serve: Serve, address: str, *, key: str = "") -> Answer:
    headers = [(b"x-cg-demo-api-key", key.encode())]
    try:
        return serve(Request({"type": "http", "headers": headers, "client": (address, 1)}), None)
    except RequestRefused as exc:
        return exc.answer


def test_a_month_of_calls_ends_with_402_and_begins_again(clock: Hands):
    chains = CoinPaprika(MarketFeed(Market(assets=1)), Usage(Plan(credits_per_month=1), clock), clock).chains
    assert [answer(chains, address).status for address in ("here", "here", "there")] == [200, 402, 200]
    clock.move(timedelta(days=31))
    assert answer(chains, "here").status == 200


def test_a_minute_of_calls_with_a_demo_key_ends_with_429_and_a_wait(clock: Hands):
    platforms = CoinGecko(MarketFeed(Market(assets=1)), Usage(Plan(requests_per_minute=1), clock), clock).platforms
    answers = [answer(platforms, "here", key="a key") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[1].headers == {"retry-after": "60"}


@pytest.mark.parametrize(
    ("params", "headers", "status"),
    [
        ({"vs_currency": "usd"}, {"x-cg-demo-api-key": "bad key"}, 401),
        ({}, {}, 422),
        ({"vs_currency": "usd", "per_page": "0"}, {}, 422),
        ({"vs_currency": "usd", "order": "hope"}, {}, 422),
    ],
    ids=str,
)
async def test_a_wrong_key_or_parameter_of_coingecko_is_refused(simulate: Open, params, headers, status: int):
    answer = await simulate().client.get(MARKETS, params=params, headers=headers)
    assert answer.status_code == status
    assert answer.json()["status"]["error_code"]


async def test_faults_reach_lists_without_an_envelope(simulate: Open):
    faults = [Fault(kind="half"), Fault(kind="poisoned", poison="no_bitcoin", first=2)]
    caller = simulate(faults=faults)
    half, without, whole = [await tickers(caller) for _ in range(3)]
    assert half == whole[: len(whole) // 2]
    assert [row for row in whole if row["id"] != "btc-bitcoin"] == without != whole


async def test_an_unlimited_plan_is_for_every_vendor(simulate: Open):
    caller = simulate(Market(assets=1), plan=Plan.unlimited())
    answers = [await caller.client.get("/api/v3/asset_platforms") for _ in range(COINGECKO.keyless_per_minute + 1)]
    assert {answer.status_code for answer in answers} == {200}
