"""A provider without CoinMarketCap's ids is added by the text of a file alone; its ids are found, tested and pinned."""

import asyncio
import json
from datetime import timedelta

import orjson
import pytest
from structlog.testing import capture_logs

from ingest_price.source import plan as price_plan
from lib.errors import SettingsRejected
from lib.ingest.credit_plan import read_plans
from lib.ingest.delivery import WriteThrough
from lib.ingest.ids.report import read_reports
from lib.ingest.service import ingests
from lib.ingest.sources import ServiceSources
from lib.settings import load
from tests.fakes import NOON
from tests.unit.ingest.ids.providers import LIST, MAP, MINUTE, Providers, World, coin, documented, map_record

RECORDS = [
    map_record(1, "BTC", "Bitcoin"),
    map_record(7, "AAA", "Alpha"),
    map_record(8, "BBB", "Beta"),
    map_record(9, "CCC", "Gamma", "gamma-chain"),
    map_record(31, "DDD", "Delta", token="0xdd"),
]
COINS = [  # by market cap
    coin("bitcoin", "BTC", "Bitcoin", 60_000.5, 900.0),
    coin("alpha", "aaa", "ALPHA", 2.0, 10.0),
    coin("beta", "BBB", "Beta", 3.0, 5_000.0),
    coin("nobody", "ZZZ", "Nobody", 4.0, 7_000.0),
]
PRICES = [(1, 60_010.0), (7, 2.02), (8, 3.01), (9, 5.0), (31, 6.0)]


def world(folder, coins=COINS, records=RECORDS, **options) -> World:
    return World(Providers(coins, records), folder, **options)


async def test_a_second_provider_is_added_by_a_file_alone_and_its_list_has_the_right_ids(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    assert await acme.ids() == {1: 900.0, 7: 10.0, 8: 5_000.0}
    (marker,) = await acme.store.markers(acme.clock(), acme.clock(), series="volume_rank")
    assert (marker.source, marker.assets, marker.rejected, marker.credits) == ("acme", 3, 1, 1.0)
    assert acme.upstream.calls(LIST) == acme.upstream.calls(MAP) == 1


async def test_the_whole_list_is_ordered_before_the_cut_and_only_rows_with_an_id_count(tmp_path):
    acme = world(tmp_path, ASSETS="2")
    await acme.quote(*PRICES)
    assert await acme.ids() == {8: 5_000.0, 1: 900.0}


@pytest.mark.parametrize(("environ", "minutes"), [({}, 10), ({"ACME_API_KEY": "k"}, 2)])
def test_its_pace_depends_on_its_key(tmp_path, environ, minutes):
    assert world(tmp_path, **environ).ingest.interval == timedelta(minutes=minutes)


async def test_its_requests_are_counted_against_the_budget_of_its_file(tmp_path):
    acme = world(tmp_path, ACME_API_KEY="k")
    acme.upstream.bodies["/v2/coins"] = {"coins": COINS}
    await acme.quote(*PRICES)
    await acme.ids()
    (plan,) = read_plans(tmp_path)
    assert (plan.source, plan.limit, plan.left) == ("acme", 20_000, 19_999)


async def test_two_services_may_have_a_source_of_one_name_and_each_keeps_its_own_matches(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES[:3])
    await acme.ids()
    file = tmp_path / "prices.toml"
    fields = '[fields]\nusd = "last_usd"\nsymbol = "ticker"\nname = "title"'
    file.write_text(documented().replace('"volume_rank"', '"price"').replace("[fields]", fields))
    environ = {"TOPCOINS_PRICE_SOURCE": str(file), "TOPCOINS_CLOCK_CHECK": "off"}
    (tmp_path / "price").mkdir()
    client = Providers(COINS[:2], RECORDS).client
    sources = ServiceSources(
        load(environ, "ingest_price"), client=client, store=acme.store, clock=acme.clock, folder=tmp_path
    )
    (prices,) = ingests(price_plan, sources, lambda series: WriteThrough(acme.store))
    assert await prices.tick(NOON + MINUTE)
    assert {(each.series, each.matched) for each in read_reports(tmp_path)} == {("volume_rank", 3), ("price", 2)}
    pins = {file.name: len(json.loads(file.read_bytes())) for file in (tmp_path / "ids").glob("*.pins.json")}
    assert pins == {"acme.pins.json": 3, "price.acme.pins.json": 2}


async def test_without_prices_to_test_by_no_id_is_used(tmp_path):
    acme = world(tmp_path)
    with capture_logs() as events:
        assert await acme.ids() is None
    assert "3 x no id: its price can't be compared yet" in events[-1]["why"]


async def test_a_match_whose_price_is_another_is_refused_and_listed(tmp_path):
    acme = world(tmp_path)
    await acme.quote((1, 60_010.0), (7, 20.0), (8, 3.01))
    assert await acme.ids() == {1: 900.0, 8: 5_000.0}
    (report,) = read_reports(tmp_path)
    assert [(each.own, each.why) for each in report.refused] == [("alpha", "the price test did not confirm its id: 7")]
    assert (report.listed, report.matched, report.without, report.untested) == (4, 2, 1, 0)


async def test_a_proposal_by_slug_is_used_only_if_its_price_proves_it(tmp_path):
    coins = [*COINS, coin("gamma-chain", "CCC", "Gamma Network", 5.01, 3.0)]
    acme = world(tmp_path, coins)
    await acme.quote(*PRICES, stablecoins=[9])
    assert 9 not in (await acme.ids() or {})
    assert (await acme.later(*PRICES, minutes=10) or {})[9] == 3.0


async def test_a_pinned_match_stays_and_is_reported_when_the_map_says_otherwise(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    await acme.ids()
    renamed, namesake = map_record(7, "OLD", "Alpha Classic"), map_record(99, "AAA", "Alpha")
    acme.upstream.bodies[MAP]["data"] = [RECORDS[0], renamed, *RECORDS[2:], namesake]
    acme.start()
    with capture_logs() as events:
        assert 7 in (await acme.later(*PRICES, days=1) or {})
    assert [event["own"] for event in events if "pinned ids" in event["event"]] == [["alpha"]]
    (report,) = read_reports(tmp_path)
    assert [(each.own, each.pinned, each.now) for each in report.changed] == [("alpha", 7, 99)]


async def test_nothing_is_asked_between_a_list_that_was_paid_for_and_the_spool(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    await acme.ids()
    *before, last = [request.url.path for request in acme.upstream.asked]
    assert last == LIST
    assert MAP in before


async def test_the_map_is_fetched_once_a_day_and_survives_a_restart(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    await acme.ids()
    acme.start()
    await acme.later(*PRICES, minutes=10)
    assert acme.upstream.calls(MAP) == 1
    await acme.later(*PRICES, days=1)
    assert acme.upstream.calls(MAP) == 2
    assert json.loads((tmp_path / "ids" / "coinmarketcap_map.json").read_text())["day"] == "2026-08-02"


async def test_while_the_map_is_away_pinned_matches_are_used_and_after_two_days_no_new_ones_are_made(tmp_path):
    acme = world(tmp_path)
    await acme.quote((1, 60_010.0), (8, 3.01))
    assert await acme.ids() == {1: 900.0, 8: 5_000.0}
    del acme.upstream.bodies[MAP]
    with capture_logs() as events:
        assert await acme.later(*PRICES, days=2) == {1: 900.0, 8: 5_000.0}
    assert sum("can't be fetched; the old one is used" in event["event"] for event in events) == 1
    acme.upstream.bodies[MAP] = {"status": {"error_code": 0}, "data": RECORDS}
    assert await acme.later(*PRICES, minutes=11) == {1: 900.0, 7: 10.0, 8: 5_000.0}


async def test_a_part_of_a_map_is_no_map(tmp_path):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    await acme.ids()
    acme.upstream.bodies[MAP]["data"] = RECORDS[:2]
    with capture_logs() as events:
        await acme.later(*PRICES, days=1)
    assert "coinmarketcap_map: only 2 ids, the map before had 5" in [event.get("why") for event in events]


async def test_the_users_table_comes_first_and_needs_no_price(tmp_path):
    table = tmp_path / "ids.csv"
    table.write_text("source,own,cmc_id\nacme,nobody,4242\nacme,beta,\n")
    acme = world(tmp_path, ID_TABLE=str(table))
    await acme.quote(*PRICES)
    assert await acme.ids() == {1: 900.0, 7: 10.0, 4242: 7_000.0}


@pytest.mark.parametrize("text", ["source,own\n", "source,own,cmc_id\nacme,beta,x\n", None])
def test_a_table_that_cannot_be_used_is_refused_with_its_path_and_line(tmp_path, text):
    table = tmp_path / "ids.csv"
    if text:
        table.write_text(text)
    with pytest.raises(SettingsRejected, match=r"TOPCOINS_ID_TABLE: .*ids\.csv.*(line \d|No such file).*for example"):
        world(tmp_path, ID_TABLE=str(table))


CONTRACTS = """
[id.contracts]
path = "/v2/tokens/{chain}"
at = "@"
own = "slug"
address = "address"

[id.contracts.chains]
eth = "ethereum"
sol = "solana"
"""


async def test_contracts_are_asked_for_once_a_day_chain_by_chain_and_are_no_part_of_a_ticks_cost(tmp_path):
    text = documented().replace("[fields]", CONTRACTS + "[fields]")
    coins = [coin("delta", "DLT", "Delta Coin", 6.0, 1.0), coin("delta-2", "DL2", "Delta Two", 6.0, 1.0)]
    acme = world(tmp_path, coins, text=text)
    acme.upstream.bodies["/v2/tokens/eth"] = [{"slug": "delta", "address": "0xDD"}, {"slug": None}, 5]
    await acme.quote(*PRICES)
    with capture_logs() as events:
        assert await acme.ids() == {31: 1.0}
    assert any("contracts of some chains can't be fetched" in event["event"] for event in events)
    (marker,) = await acme.store.markers(acme.clock(), acme.clock(), series="volume_rank")
    assert marker.credits == 1.0  # else the planner would stretch the interval once a day
    await acme.later(*PRICES, minutes=10)
    assert acme.upstream.calls("/v2/tokens/eth") == 1
    del acme.upstream.bodies["/v2/tokens/eth"]
    acme.upstream.bodies["/v2/tokens/sol"] = []
    await acme.later(*PRICES, days=1)
    stored = orjson.loads((tmp_path / "ids" / "acme.contracts.json").read_bytes())
    assert stored["assets"] == [["delta", "", "", [["ethereum", "0xDD"]]]]


def test_a_chain_that_is_none_of_ours_is_refused_with_those_that_are(tmp_path):
    text = documented().replace("[fields]", CONTRACTS.replace('"solana"', '"sun"') + "[fields]")
    with pytest.raises(SettingsRejected, match=r"id\.contracts\.chains: 'sun' is not a chain; chains are aptos, "):
        world(tmp_path, text=text)


async def test_two_coins_that_the_provider_mixed_up_are_left_out(tmp_path):
    acme = world(tmp_path, [*COINS, coin("alpha-2", "AAA", "Alpha Two", 2.001, 10.0)])
    acme.upstream.bodies[MAP]["data"] = [*RECORDS, map_record(77, "AAA", "Alpha Two")]
    await acme.quote(*PRICES, (77, 900.0))
    assert await acme.ids() == {1: 900.0, 8: 5_000.0}
    (report,) = read_reports(tmp_path)
    assert sorted(each.own for each in report.refused) == ["alpha", "alpha-2"]


@pytest.mark.parametrize("name", ["coinmarketcap_map.json", "acme.pins.json"])
async def test_a_damaged_file_is_made_anew(tmp_path, name):
    acme = world(tmp_path)
    await acme.quote(*PRICES)
    before = await acme.ids()
    (tmp_path / "ids" / name).write_text('{"day": "2026-')
    with capture_logs() as events:
        acme.start()
        assert await acme.later(*PRICES, minutes=10) == before
    assert any("can't be read" in event["event"] for event in events)


async def test_two_providers_share_one_map_and_fetch_it_once(tmp_path):
    acme = world(tmp_path, CHECK_SOURCE=str(tmp_path / "zeta.toml"), start=False)
    (tmp_path / "zeta.toml").write_text(documented().replace('"acme"', '"zeta"').replace("/v2/", "/v3/"))
    acme.upstream.bodies[LIST.replace("/v2/", "/v3/")] = {"coins": COINS}
    acme.start()
    await acme.quote(*PRICES)
    await asyncio.gather(acme.ids(), acme.checks[0].tick(acme.clock()))
    assert acme.upstream.calls(MAP) == 1
    assert [report.matched for report in read_reports(tmp_path)] == [3, 3]


@pytest.mark.parametrize(
    ("line", "instead", "why"),
    [
        ('sort_by = "volume_usd"', 'sort_by = "cap"', "records.sort_by: 'cap' is not in [fields], such as volume_usd"),
        ("[fields]", '[fields]\ncmc_id = "x"', "fields: cmc_id is in the records or found by [id]; leave one of"),
        ('slug_form = "{slug}"', 'slug_form = "{name}"', "id.slug_form: Input should be '', '{slug}' or"),
        ('own = "slug"\n', "", "id.own: Field required"),
        ("month = 20_000", "month = 0", "budget.month: Input should be greater than or equal to 1"),
        ('keyed = "2m"', 'keyed = "2"', "pace.keyed: "),
        ('slug_form = "{slug}"', 'overrides = "none.csv"', "source acme: overrides: "),
    ],
)
def test_a_faulty_file_is_refused_with_its_key_and_what_was_expected(tmp_path, line, instead, why):
    text = documented()
    assert line in text
    with pytest.raises(SettingsRejected) as refused:
        world(tmp_path, text=text.replace(line, instead))
    assert why in str(refused.value)
