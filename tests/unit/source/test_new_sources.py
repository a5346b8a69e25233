"""A third series, and a provider unlike the others, added by the text of a file and settings alone."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from ingest_price.source import plan
from ingest_rank.source import plan as rank_plan
from lib.errors import SettingsRejected
from lib.ingest.delivery import WriteThrough
from lib.ingest.service import ingests
from lib.ingest.sources import ServiceSources
from lib.schema import PRICE
from lib.settings import load
from tests.fakes import NOON, FakeClock, MemoryStore, Upstream, recorded, says

MINUTE = timedelta(minutes=1)
KEY = "canary-5f3a9c1e"
CAPTURE = recorded("cmc-listings-latest-1000-20210629T0023Z")

MARKET_CAP = """
name = "coinmarketcap"
series = "market_cap"
cost = "status.credit_count"

[request]
url = "https://pro-api.coinmarketcap.com"
url_setting = "cmc_url"
path = "/v3/cryptocurrency/listings/latest"
params = { convert = "USD", sort = "market_cap" }

[key]
setting = "cmc_api_key"
header = "X-CMC_PRO_API_KEY"

[paging]
by = "offset"
parameter = "start"
size_parameter = "limit"
size = 5000

[records]
at = "data"
let = { usd = "quote.USD || (quote[?symbol=='USD'] | [0])" }

[fields]
cmc_id = "id"
volume_usd = "usd.volume_24h"
market_cap_usd = "usd.market_cap"
supply = "circulating_supply"

[units]
market_cap_usd = "US dollars"
supply = "coins"

[errors]
code = "status.error_code"
message = "status.error_message"
"""

ACME = """
name = "acme"
series = "price"
cost = "meta.used"

[request]
url = "https://api.acme.example"
url_setting = "acme_url"
path = "/v9/quotes"
params = { fiat = "usd" }
headers = { Accept = "application/vnd.acme+json" }

[key]
setting = "acme_api_key"
header = "X-Acme-Token"
value = "token={key}"

[paging]
by = "offset"
parameter = "skip"
first = 0
size_parameter = "take"
size = 3
exact_size = true
total = "meta.count"

[records]
at = "payload.pages[0].coins"
let = { coin = "asset", dollars = "markets[?fiat=='usd'] | [0]" }
where = ["coin.listed"]

[fields]
cmc_id = "coin.refs.coinmarketcap"
symbol = "coin.code"
name = "coin.title"
usd = "dollars.last"
volume_usd = "dollars.turnover"
updated_at = "dollars.at"

[errors]
code = "fault.kind"
message = "fault.details[0].text"
fine = ["ok"]

[errors.actions]
"quota" = "reset"
"token" = "stop"
"""


@pytest.fixture
def file(tmp_path):
    def write(name, text):
        path = tmp_path / f"{name}.toml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


class Service:
    """The ingests a price service has with these settings, over an upstream and a store in memory."""

    def __init__(self, upstream: Upstream, /, **environ: str) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        environ = {"CLOCK_CHECK": "off", **environ}  # recorded answers are years old
        chosen = load({f"TOPCOINS_{name}": value for name, value in environ.items()}, "ingest_price")
        sources = ServiceSources(chosen, client=upstream.client, store=self.store, clock=self.clock)
        made = ingests(plan, sources, lambda series: WriteThrough(self.store))
        self.ingests = {ingest.series.name: ingest for ingest in made}


def coin(place: int) -> dict[str, Any]:
    dollars = {"fiat": "usd", "last": f"{place}.5", "turnover": f"{100 - place}e3", "at": "2026-08-01T11:59:58Z"}
    return {
        "asset": {"refs": {"coinmarketcap": str(place)}, "code": f"C{place}", "title": f"Coin {place}", "listed": True},
        "markets": [{"fiat": "eur", "last": "0"}, dollars],
    }


def acme(coins: list[dict[str, Any]]) -> Upstream:
    """Acme's list: records nested in pages, by what to skip and how many to take, numbers as text."""

    def answer(request: httpx.Request) -> httpx.Response:
        skip, take = (int(request.url.params[name]) for name in ("skip", "take"))
        meta = {"count": len(coins), "used": 2}
        pages = [{"coins": coins[skip : skip + take]}]
        return httpx.Response(200, json={"fault": {"kind": "ok"}, "meta": meta, "payload": {"pages": pages}})

    return Upstream(answer)


async def test_a_third_series_is_added_by_a_file_and_one_setting(file):
    service = Service(Upstream(says(CAPTURE)), EXTRA_SOURCES=file("cap", MARKET_CAP), CMC_API_KEY=KEY)
    assert list(service.ingests) == ["price", "market_cap"]
    for ingest in service.ingests.values():
        assert await ingest.tick(NOON)
    series = service.ingests["market_cap"].series
    assert (series.tags, series.fields) == ((), ("market_cap_usd", "supply"))
    assert series.units == {"market_cap_usd": "US dollars", "supply": "coins"}
    rows = await service.store.rows(series, NOON)
    caps = {record["id"]: record["quote"]["USD"]["market_cap"] for record in CAPTURE["data"]}
    assert dict(rows.select("cmc_id", "market_cap_usd").iter_rows()) == caps
    supplies = {record["id"]: record["circulating_supply"] for record in CAPTURE["data"]}
    assert dict(rows.select("cmc_id", "supply").iter_rows()) == supplies
    markers = await service.store.markers(NOON, NOON)
    assert [(m.series, m.source, m.credits) for m in markers] == [
        ("market_cap", "coinmarketcap", 5.0),
        ("price", "coinmarketcap", 5.0),
    ]


async def test_a_third_series_has_tiers_by_its_volume_and_is_joined_by_its_ids(file):
    service = Service(Upstream(says(CAPTURE)), EXTRA_SOURCES=file("cap", MARKET_CAP), CMC_API_KEY=KEY)
    price, cap = [await ingest.tick(NOON) for ingest in service.ingests.values()]
    assert price is not None
    assert cap is not None
    joined = price.rows.join(cap.rows, on="cmc_id")
    assert len(joined) == min(len(price.rows), len(cap.rows))
    first = cap.rows.filter(tier=0)
    assert len(first) == 100


async def test_several_extra_series_work_together(file):
    supply = MARKET_CAP.replace('series = "market_cap"', 'series = "supply"').replace("market_cap_usd", "cap")
    files = f"{file('cap', MARKET_CAP)},{file('supply', supply)}"
    service = Service(Upstream(says(CAPTURE)), EXTRA_SOURCES=files, CMC_API_KEY=KEY)
    assert list(service.ingests) == ["price", "market_cap", "supply"]


@pytest.mark.parametrize("series", ["price", "volume_rank", "coin_map"])
def test_an_extra_source_of_one_of_our_own_series_is_refused(file, series):
    text = ACME.replace('series = "price"', f'series = "{series}"')
    with pytest.raises(SettingsRejected, match=f"extra source acme fills {series}, which has sources of its own"):
        Service(acme([]), EXTRA_SOURCES=file("acme", text), ACME_API_KEY=KEY)


def test_two_extra_sources_of_one_series_are_refused(file):
    path = file("cap", MARKET_CAP)
    with pytest.raises(SettingsRejected, match="2 sources fill market_cap"):
        Service(Upstream(says(CAPTURE)), EXTRA_SOURCES=f"{path},{path}", CMC_API_KEY=KEY)


async def test_a_provider_with_another_envelope_paging_and_header_is_added_by_a_file_and_two_settings(file):
    coins = [coin(place) for place in range(1, 8)]
    upstream = acme(coins)
    service = Service(upstream, PRICE_SOURCE=file("acme", ACME), ACME_API_KEY=KEY)
    snapshot = await service.ingests["price"].tick(NOON)
    assert snapshot is not None
    assert upstream.queries("skip", "take") == [(0, 3), (3, 3), (6, 3)]
    assert snapshot.rows.columns == list(PRICE.columns)
    untold = (None,) * (len(PRICE.fields) - 2)
    assert snapshot.rows.row(0) == (1, "C1", "Coin 1", 0, 1.5, (NOON - timedelta(seconds=2)).timestamp(), *untold)
    assert snapshot.rows["usd"].to_list() == [place + 0.5 for place in range(1, 8)]
    assert (snapshot.marker.source, snapshot.marker.credits, snapshot.marker.rejected) == ("acme", 6.0, 0)
    for request in upstream.asked:
        assert request.headers["x-acme-token"] == f"token={KEY}"
        assert (request.headers["accept"], request.url.params["fiat"]) == ("application/vnd.acme+json", "usd")
        assert str(request.url).startswith("https://api.acme.example/v9/quotes?")
        assert KEY not in str(request.url)


async def test_its_address_can_be_moved_by_a_setting(file):
    upstream = acme([coin(1)])
    service = Service(upstream, PRICE_SOURCE=file("acme", ACME), ACME_API_KEY=KEY, ACME_URL="http://localhost:9000")
    assert await service.ingests["price"].tick(NOON)
    assert str(upstream.asked[0].url).startswith("http://localhost:9000/v9/quotes?")


async def test_its_odd_records_are_counted(file):
    coins = [coin(1), coin(2) | {"asset": {"listed": False}}, coin(3) | {"markets": []}, coin(1)]
    service = Service(acme(coins), PRICE_SOURCE=file("acme", ACME), ACME_API_KEY=KEY)
    snapshot = await service.ingests["price"].tick(NOON)
    assert snapshot is not None
    marker = snapshot.marker
    assert (marker.assets, marker.rejected, marker.duplicates) == (1, 2, 1)


@pytest.mark.parametrize(("kind", "rest"), [("quota", timedelta(hours=12)), ("token", timedelta(hours=1))])
async def test_each_error_of_a_new_source_has_the_effect_that_its_file_states(file, kind, rest):
    upstream = Upstream(says({"fault": {"kind": kind, "details": [{"text": "no more"}]}}))
    service = Service(upstream, PRICE_SOURCE=file("acme", ACME), ACME_API_KEY=KEY)
    ingest = service.ingests["price"]
    assert await ingest.tick(NOON) is None
    service.clock.now = NOON + rest - MINUTE
    assert await ingest.tick(service.clock.now) is None
    assert len(upstream.asked) == 1
    service.clock.now = NOON + rest
    upstream.answers[:] = acme([coin(1)]).answers
    assert await ingest.tick(service.clock.now)


def test_without_its_key_the_setting_to_set_is_named(file):
    with pytest.raises(SettingsRejected, match="no source of price has its key; set TOPCOINS_ACME_API_KEY"):
        Service(acme([]), PRICE_SOURCE=file("acme", ACME))


def test_a_source_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(SettingsRejected, match=r"source 'acme': there is no file .*; for example coinmarketcap"):
        Service(acme([]), PRICE_SOURCE="acme")
    with pytest.raises(
        SettingsRejected, match=r"for example coindesk, coingecko, coinmarketcap, .*, coinpaprika, or /path/to/file"
    ):
        rank_plan(load({"TOPCOINS_RANK_SOURCE": "acme"}))


def test_a_source_of_another_series_is_refused_for_the_price(file):
    with pytest.raises(SettingsRejected, match="source coinmarketcap fills market_cap; a source of price is wanted"):
        Service(acme([]), PRICE_SOURCE=file("cap", MARKET_CAP), CMC_API_KEY=KEY)


def test_a_new_rank_provider_is_one_more_name_in_the_list(file):
    text = ACME.replace('series = "price"', 'series = "volume_rank"')
    (sources,) = rank_plan(load({"TOPCOINS_RANK_SOURCE": f"{file('acme', text)},coinmarketcap"}))
    assert [source.name for source in sources] == ["acme", "coinmarketcap"]
