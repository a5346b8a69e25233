"""A third source, by a file and a setting alone, becomes another column of the answer."""

import csv
import io

import pytest

from tests.fakes import RECORDED, recorded

pytestmark = pytest.mark.stack

CAPTURE = "cmc-listings-latest-100-20240317T1034Z"
SETTINGS = """
assets = 100
extra_sources = ["{folder}/market_cap.toml"]
cmc_api_key = "demo"
coindesk_api_key = "demo"
cmc_url = "{url}"
coindesk_url = "{url}"
"""
MARKET_CAP = """
name = "caps"
series = "market_cap"

[request]
url = "https://pro-api.coinmarketcap.com"
url_setting = "cmc_url"
path = "/v1/cryptocurrency/listings/latest"
params = { convert = "USD" }

[key]
setting = "cmc_api_key"
header = "X-CMC_PRO_API_KEY"

[paging]
by = "offset"
parameter = "start"
first = 1
size_parameter = "limit"
size = 40

[records]
at = "data"

[fields]
cmc_id = "id"
volume_usd = "quote.USD.volume_24h"
market_cap_usd = "quote.USD.market_cap"
supply = "circulating_supply"

[units]
market_cap_usd = "US dollars"
supply = "coins"

[errors]
code = "status.error_code"
message = "status.error_message"
"""


def test_its_fields_are_columns_of_json_and_csv_and_it_has_a_status(stage):
    url = stage.simulator("--replay", str(RECORDED), "--match", f"{CAPTURE}*")["CMC_URL"]
    (stage.folder / "market_cap.toml").write_text(MARKET_CAP)
    config = stage.folder / "topcoins.toml"
    config.write_text(SETTINGS.format(folder=stage.folder, url=url))
    for name in ("ingest_price", "ingest_rank"):
        stage.service(name, CONFIG=config)
    api = stage.api(CONFIG=config)
    api.answers("/")
    api.process.until(lambda: api.get("/").json()["extras"]["market_cap"])
    captured = {record["id"]: record for record in recorded(CAPTURE)["data"]}

    answer = api.get("/", limit=5000).json()
    assert len(answer["data"]) == 100
    for row in answer["data"]:
        record = captured[row["cmc_id"]]
        assert row["market_cap_usd"] == record["quote"]["USD"]["market_cap"]
        assert row["supply"] == record["circulating_supply"]
    column_info = answer["extras"]["market_cap"]
    assert (column_info["source"], column_info["assets"]) == ("caps", 100)

    sheet = api.get("/", format="csv", columns="rank,cmc_id,market_cap_usd,supply", limit=5000)
    rows = list(csv.DictReader(io.StringIO(sheet.text, newline="")))
    assert len(rows) == 100
    for line in rows:
        record = captured[int(line["cmc_id"])]
        assert float(line["market_cap_usd"]) == record["quote"]["USD"]["market_cap"]
        assert float(line["supply"]) == record["circulating_supply"]
    assert api.get("/", format="csv").text.partition("\r\n")[0] == "Rank,Symbol,Price USD"

    status = api.get("/v1/status").json()["series"]["market_cap"]
    assert (status["source"], status["assets"]) == ("caps", 100)
    assert 'topcoins_snapshot_assets{series="market_cap"} 100.0' in api.get("/metrics").text
