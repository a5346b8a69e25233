"""`topcoins doctor`: each finding is ok or a fault, with its reason."""

import asyncio
import json
import socket
import ssl
import time
from datetime import timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from rich.console import Console

from lib import settings
from lib.cli.app import out
from lib.cli.doctor import as_json, examine, findings_of, show
from lib.cli.doctor.disk import SQLITE_BYTES, in_a_year
from lib.cli.doctor.finding import Finding
from lib.clock import utc_now
from lib.ingest.delivery import WriteThrough
from lib.ingest.missed import MissedTick, MissedTicks
from lib.schema import PRICE, VOLUME_RANK
from lib.simulator import Market, Plan, create_app
from lib.store.influx.disk import row_size
from lib.store.sqlite import SqliteStore
from tests.fakes import NOON, FakeClock
from tests.influxd import VERIFIES, Bucket
from tests.sample import sample_snapshot

MINUTE = timedelta(minutes=1)
PATIENCE_S = 30


def findings(
    environ, clock, *, plan=None, upstream=None, announce=print, services=None, own_clock=None, token_file=""
) -> dict[str, Finding]:
    """All findings, the upstreams being the simulator in process, on its own clock, or a given transport."""
    app = create_app(Market(1, 50), clock, plan=plan or Plan())
    services = services or dict.fromkeys(settings.SERVICES, settings.load(environ))

    async def found() -> list[Finding]:
        ways = {
            "http://127.0.0.1": httpx.AsyncHTTPTransport(verify=VERIFIES),
            "all://": upstream or httpx.ASGITransport(app),
        }
        async with httpx.AsyncClient(mounts=ways, verify=VERIFIES) as client:
            return await findings_of(services, client, own_clock or clock, announce, token_file)

    return {finding.what: finding for finding in asyncio.run(found())}


def refusing(error: Exception) -> httpx.MockTransport:
    """An upstream that fails with this error, as httpx raises those of the network."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("All connection attempts failed") from error

    return httpx.MockTransport(refuse)


@pytest.fixture
def environ(tmp_path):
    return {"TOPCOINS_STORE_URL": f"sqlite:///{tmp_path}/topcoins.db", "TOPCOINS_ASSETS": "50"}


@pytest.fixture
def clock():
    return FakeClock()


def filled(environ, clock, *, minutes_ago: int, credits: float = 0.0) -> None:
    async def fill() -> None:
        store = SqliteStore(Path(environ["TOPCOINS_STORE_URL"].removeprefix("sqlite:///")), clock=clock)
        for series in (PRICE, VOLUME_RANK):
            snapshot = sample_snapshot(series, NOON - minutes_ago * MINUTE, 50, source="coinmarketcap", credits=credits)
            await WriteThrough(store).accept(snapshot)
        await store.close()

    asyncio.run(fill())


def test_without_keys_all_is_well_and_the_sources_left_out_are_named(environ, clock):
    found = findings(environ, clock)
    assert all(finding.well for finding in found.values())
    assert found["ingest_price: coinmarketcap"].seen == "asked without a key, every 5m"
    assert "left out: TOPCOINS_COINDESK_API_KEY is not set" in found["ingest_rank: coindesk"].seen
    assert found["ticks of price"].seen == "none stored yet"
    assert "GiB a day for 50 assets every 5m" in found["disk"].seen
    assert "after a year: ticks for 3 days, the first of each hour for ever" in found["disk"].seen


def test_a_broken_setting_is_the_only_finding_and_wrong():
    (only,) = examine({"TOPCOINS_ASSETS": "9000"}, utc_now, print)
    assert (only.what, only.well) == ("settings", False)
    assert "9000" in only.seen


def test_the_credits_left_of_a_key_are_shown(environ, clock):
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good"}, clock)
    assert found["TOPCOINS_CMC_API_KEY"].well
    assert "15,000 of 15,000 credits left" in found["TOPCOINS_CMC_API_KEY"].seen


def test_a_refused_key_is_wrong(environ, clock):
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "bad-key"}, clock)
    assert not found["TOPCOINS_CMC_API_KEY"].well
    assert "bad-key" not in found["TOPCOINS_CMC_API_KEY"].seen


def test_a_source_without_a_key_is_tried_too_and_that_is_announced(environ, clock):
    said: list[str] = []
    found = findings(environ, clock, announce=said.append)
    assert found["ingest_price: coinmarketcap: answer"].well
    assert found["clock"] == Finding("clock", True, "agrees with that of coinmarketcap, within 5 s")
    (line,) = said
    assert line == "Asking each source once for one asset: coinmarketcap (costs nothing). Nothing is stored."


def test_each_source_is_asked_once_and_its_cost_is_announced(environ, clock):
    keys = {"TOPCOINS_CMC_API_KEY": "good", "TOPCOINS_COINDESK_API_KEY": "good"}
    said: list[str] = []
    found = findings(environ | keys, clock, announce=said.append)
    assert [name for name in found if name.endswith(": answer")] == [
        "ingest_price: coinmarketcap: answer",
        "ingest_rank: coindesk: answer",
    ]
    assert "coinmarketcap (1 credit), coindesk (1 credit)" in said[0]


def test_a_source_that_is_only_compared_is_tried_too(environ, clock):
    said: list[str] = []
    found = findings(environ | {"TOPCOINS_CHECK_SOURCE": "coinpaprika"}, clock, announce=said.append)
    assert found["ingest_rank: coinpaprika"].seen == "compared with what is stored, every 10m"
    assert found["ingest_rank: coinpaprika: answer"].well
    assert "coinpaprika (1 credit)" in said[0]
    assert not [name for name in found if name.startswith("coinpaprika")]  # it sets no cadence


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("coingecko", "ingest_rank does not start: set TOPCOINS_COINGECKO_API_KEY, or unset TOPCOINS_CHECK_SOURCE"),
        ("coindesk", "TOPCOINS_CHECK_SOURCE: coindesk has no [id]; for example coinpaprika"),
    ],
)
def test_a_source_that_cannot_be_compared_is_wrong(environ, clock, name, why):
    finding = findings(environ | {"TOPCOINS_CHECK_SOURCE": name, "TOPCOINS_RANK_SOURCE": "coinmarketcap"}, clock)
    assert (finding[f"ingest_rank: {name}"].well, finding[f"ingest_rank: {name}"].seen) == (False, why)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be found: check the network, DNS and"),
        (ConnectionRefusedError(111, "refused"), "nothing listens at https://pro-api.coinmarketcap.com"),
        (TimeoutError(), "does not answer: check the network, the firewall, HTTPS_PROXY"),
        (ssl.SSLCertVerificationError("self-signed certificate"), "is not trusted here: check this machine's clock"),
        (ExceptionGroup("all", [ConnectionRefusedError(111, "refused")]), "nothing listens at"),
        (OSError(101, "Network is unreachable"), "does not answer: check the network"),
    ],
)
def test_a_source_that_is_not_reached_is_wrong_with_its_address_and_what_to_do(environ, clock, error, advice):
    found = findings(environ, clock, upstream=refusing(error))["ingest_price: coinmarketcap: answer"]
    assert not found.well
    assert advice in found.seen
    assert "pro-api.coinmarketcap.com" in found.seen


def test_a_clock_that_is_off_is_wrong_with_the_direction_and_the_remedy(environ, clock):
    found = findings(environ, clock, own_clock=FakeClock(NOON + timedelta(hours=1)))["clock"]
    assert not found.well
    assert "our clock is 3600 s ahead of the upstream's" in found.seen
    assert "timedatectl set-ntp true" in found.seen


def test_an_upstreams_brackets_and_control_characters_are_shown_as_text(environ, clock, capsys):
    def refuse(request: httpx.Request) -> httpx.Response:
        status = {"error_code": 1001, "error_message": "This [/x] key [bold] is \x1b[2J no good :smile:"}
        return httpx.Response(401, json={"status": status})

    found = findings(environ, clock, upstream=httpx.MockTransport(refuse))
    show(list(found.values()), out())
    text = capsys.readouterr().out
    assert "[/x]" in text
    assert "[bold]" in text
    assert ":smile:" in text
    assert "\x1b[2J" not in text


def test_an_error_of_a_check_is_a_finding_and_the_others_are_shown(environ, clock):
    def burst(request: httpx.Request) -> httpx.Response:
        raise RecursionError("deep [/x]")

    found = findings(environ, clock, upstream=httpx.MockTransport(burst))
    assert found["answers"].seen.startswith("the check itself failed: RecursionError: deep [/x]")
    assert found["disk"].well


def test_doctor_makes_no_file(environ, clock, tmp_path):
    own = {"TOPCOINS_SPOOL_DIR": str(tmp_path / "spool"), "TOPCOINS_ARCHIVE_URL": str(tmp_path / "archive")}
    found = findings(environ | own, clock)
    assert list(tmp_path.iterdir()) == []
    assert found["archive"].seen.endswith("archive is made when the first day is sealed")


def test_an_archive_that_cannot_be_made_is_wrong(environ, clock):
    found = findings(environ | {"TOPCOINS_ARCHIVE_URL": "/dev/null/archive"}, clock)["archive"]
    assert found == Finding(
        "archive",
        False,
        "/dev/null/archive: /dev/null is no folder: set TOPCOINS_ARCHIVE_URL to a folder that can be made",
    )


def test_closed_days_that_wait_for_an_archive_that_is_not_made_yet_are_wrong(environ, clock, tmp_path):
    filled(environ, clock, minutes_ago=2 * 24 * 60)
    found = findings(environ | {"TOPCOINS_ARCHIVE_URL": str(tmp_path / "archive")}, clock)["archive"]
    assert not found.well
    assert "is made when the first day is sealed; 2 closed days are not sealed, from " in found.seen
    assert not (tmp_path / "archive").exists()


def test_doctor_leaves_nothing_in_a_store_and_a_spool(environ, clock, tmp_path):
    environ["TOPCOINS_SPOOL_DIR"] = str(tmp_path / "spool")
    (tmp_path / "spool" / "price").mkdir(parents=True)
    filled(environ, clock, minutes_ago=1)
    before = sorted(tmp_path.rglob("*"))
    found = findings(environ, clock)
    assert found["store"].seen.endswith("topcoins.db answers and can be written")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_spool_that_cannot_be_written_is_wrong(environ, clock):
    found = findings(environ | {"TOPCOINS_SPOOL_DIR": "/dev/null/spool"}, clock)["spool"]
    assert not found.well
    assert "/dev/null/spool/price: /dev/null is no folder: " in found.seen
    assert found.seen.endswith("set TOPCOINS_SPOOL_DIR")


@pytest.mark.parametrize("url", ["sqlite:///{folder}", "sqlite:////dev/null/deep/topcoins.db"])
def test_a_store_that_cannot_be_made_is_one_finding_that_is_wrong(environ, clock, tmp_path, url):
    found = findings(environ | {"TOPCOINS_STORE_URL": url.format(folder=tmp_path)}, clock)
    assert [what for what, finding in found.items() if "store" in what.split() and not finding.well] == ["store"]
    assert "TOPCOINS_STORE_URL" in found["store"].seen


def test_services_with_different_stores_are_wrong(environ, clock, tmp_path):
    chosen = settings.load(environ)
    other = settings.load({"TOPCOINS_STORE_URL": "sqlite:///elsewhere.db"})
    services = {"ingest_price": chosen, "ingest_rank": chosen, "query_api": other}
    found = findings(environ, clock, services=services)["stores"]
    assert not found.well
    assert "query_api sqlite:///elsewhere.db" in found.seen


def test_an_api_without_a_store_is_well(environ, clock):
    found = findings(environ | {"TOPCOINS_STORE_URL": "none"}, clock)
    assert found["store"].well
    assert "disk" not in found


def test_a_key_given_twice_is_the_only_finding():
    key = {"TOPCOINS_CMC_API_KEY": "a" * 9, "TOPCOINS_CMC_API_KEY_FILE": "/dev/stdin"}
    (only,) = examine({**key, "TOPCOINS_CMC_API_KEY_FILE": __file__}, utc_now, print)
    assert only.seen == "TOPCOINS_CMC_API_KEY and TOPCOINS_CMC_API_KEY_FILE are both set; set one of them"


def test_the_settings_of_each_service_count(clock, tmp_path):
    path = tmp_path / "topcoins.toml"
    path.write_text("[query_api]\nhttp_port = 0\n")
    (only,) = examine({"TOPCOINS_CONFIG": str(path)}, utc_now, print)
    assert "TOPCOINS_HTTP_PORT" in only.seen


@pytest.mark.parametrize(("credits", "well"), [(1.0, True), (5000.0, False)])
def test_credits_that_do_not_last_until_the_reset_are_wrong(environ, clock, credits, well):
    filled(environ, clock, minutes_ago=600, credits=credits)
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good"}, clock)["TOPCOINS_CMC_API_KEY"]
    assert found.well == well
    assert "they last" in found.seen


PLAN = {
    "source": "coinmarketcap", "key": "cmc_api_key", "left": 9e3, "limit": 15e3, "per_day": 300, "since_left": 9e3,
    "resets_at": "2026-09-01T00:00:00Z", "told_at": "2026-08-01T11:00:00Z", "since": "2026-08-01T11:00:00Z",
}  # fmt: skip


def test_without_a_plan_the_cadence_is_forecast_from_what_is_left(environ, clock):
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good", "TOPCOINS_ASSETS": "1000"}, clock)
    cadence = found["TOPCOINS_CMC_API_KEY: cadence"]
    assert cadence.well
    assert cadence.seen == (
        'price and volume_rank: 1,000 assets every 12m, so "now" gets 12m old; a tick costs 4 credits, which last until'
        " their reset on 2026-09-01T00:00:00Z; twice the assets would cost 8, a tick every 24m"
    )


def test_without_a_key_the_cadence_costs_nothing(environ, clock):
    cadence = findings(environ | {"TOPCOINS_ASSETS": "1000"}, clock)["coinmarketcap: cadence"]
    assert cadence.well
    assert "it costs no credits, and twice the assets would cost none" in cadence.seen


@pytest.mark.parametrize(("lasts_until", "well"), [(None, True), ("2026-08-20T00:00:00Z", False)])
def test_a_plan_that_does_not_last_is_wrong(environ, clock, tmp_path, lasts_until, well):
    (tmp_path / "spool" / "price").mkdir(parents=True)
    plan = PLAN | {"lasts_until": lasts_until, "interval_s": 1200}
    (tmp_path / "spool" / "price" / "credits.json").write_text(json.dumps(plan))
    environ |= {"TOPCOINS_SPOOL_DIR": str(tmp_path / "spool"), "TOPCOINS_ASSETS": "1000"}
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good"}, clock)["TOPCOINS_CMC_API_KEY: cadence"]
    assert found.well == well
    assert "every 20m" in found.seen
    assert ("end on 2026-08-20T00:00:00Z, before their reset" in found.seen) == (not well)


def test_a_max_age_that_leaves_now_without_an_answer_is_wrong_and_names_the_settings_that_do(environ, clock):
    environ |= {"TOPCOINS_ASSETS": "1000", "TOPCOINS_MAX_AGE": "10m"}
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good"}, clock)["TOPCOINS_CMC_API_KEY: cadence"]
    assert not found.well
    assert found.seen.endswith("unset TOPCOINS_MAX_AGE, or set TOPCOINS_ASSETS=833")


def test_hardly_any_use_lasts_for_years(environ, clock):
    filled(environ, clock, minutes_ago=600, credits=1e-6)
    found = findings(environ | {"TOPCOINS_CMC_API_KEY": "good"}, clock)["TOPCOINS_CMC_API_KEY"]
    assert found.seen.endswith("they last for years")


@pytest.mark.parametrize(("minutes", "well"), [(2, True), (30, False)])
def test_old_ticks_are_wrong(environ, clock, minutes, well):
    filled(environ, clock, minutes_ago=minutes)
    found = findings(environ, clock)["ticks of price"]
    assert found.well == well
    assert f"newest {minutes}m old, 50 assets" in found.seen


def test_the_gaps_of_the_last_day_are_shown_with_their_causes_and_many_are_a_fault(environ, clock, tmp_path):
    environ["TOPCOINS_SPOOL_DIR"] = str(tmp_path / "spool")
    for minutes_ago in (3, 2):
        filled(environ, clock, minutes_ago=minutes_ago)
    assert findings(environ, clock)["gaps of price"] == Finding(
        "gaps of price", False, "1 of the last day's 3 ticks are missing: 1 x not running"
    )
    (tmp_path / "spool" / "price").mkdir(parents=True)
    MissedTicks(tmp_path / "spool" / "price").record(MissedTick(NOON - MINUTE, "credits", "used up"))
    assert findings(environ, clock)["gaps of price"].seen.endswith("missing: 1 x credits")
    filled(environ, clock, minutes_ago=1)
    assert findings(environ, clock)["gaps of price"] == Finding(
        "gaps of price", True, "0 of the last day's 3 ticks are missing"
    )


def test_a_series_no_source_of_which_can_be_asked_is_wrong(environ, clock):
    found = findings(environ | {"TOPCOINS_RANK_SOURCE": "coindesk"}, clock)
    assert not found["ingest_rank"].well


def test_a_source_that_is_not_there_is_wrong(environ, clock):
    assert not findings(environ | {"TOPCOINS_PRICE_SOURCE": "nobody"}, clock)["ingest_price: nobody"].well


def test_a_store_that_is_none_is_wrong(environ, clock, tmp_path):
    (tmp_path / "topcoins.db").write_text("this is no database, and never was one of any kind" * 20)
    found = findings(environ, clock)
    assert not found["store"].well
    assert "ticks of price" not in found


def test_the_findings_read_the_same_for_people_and_machines(capsys):
    findings = [Finding("store", True, "answers"), Finding("clock", False, "9 s off")]
    assert orjson.loads(as_json(findings))[1] == {"what": "clock", "well": False, "seen": "9 s off"}
    show(findings, Console(width=100))
    text = capsys.readouterr().out
    assert "wrong" in text
    assert "9 s off" in text


async def test_an_asset_takes_as_much_in_the_embedded_store_as_the_forecast_says(tmp_path):
    path, sizes = tmp_path / "sample.db", []
    for ticks in (range(8), range(8, 16)):  # the first ones fill the file's first pages
        store = SqliteStore(path, clock=lambda: NOON, durable=False)
        for tick in ticks:
            for series in (PRICE, VOLUME_RANK):
                await store.write(sample_snapshot(series, NOON + tick * MINUTE, 500))
        await store.close()  # merges the log into the file
        sizes.append(path.stat().st_size)
    assert (sizes[1] - sizes[0]) / 8 / 500 == pytest.approx(SQLITE_BYTES, rel=0.05)


def test_a_year_contains_the_ticks_of_the_retention_and_the_first_of_every_hour():
    kept = {"ticks_kept": timedelta(days=90), "hours_kept": timedelta(days=365)}
    assert in_a_year(1.0, 0.0, MINUTE, **kept) == 90 * 1440
    assert in_a_year(0.0, 1.0, MINUTE, **kept) == 365 * 24
    assert in_a_year(1.0, 2.0, 5 * MINUTE, **kept) == 90 * 288 + 2 * 365 * 24
    assert in_a_year(0.0, 1.0, timedelta(hours=2), **kept) == 365 * 12


@pytest.mark.influx
@pytest.mark.parametrize(("enough", "shown"), [(1000, True), (1_000_000, False)])
async def test_what_a_row_takes_in_influxdb_is_counted_where_there_are_rows_enough(influx_bucket, enough, shown):
    store = influx_bucket.store(FakeClock())
    for minute in range(20):
        for series in (PRICE, VOLUME_RANK):
            await store.write(sample_snapshot(series, NOON + minute * MINUTE, 100))
    await store.close()
    chosen = settings.load(influx_environ(influx_bucket))
    late = time.monotonic() + PATIENCE_S
    async with httpx.AsyncClient(verify=VERIFIES) as client:
        size = await row_size(chosen, client, "1m", enough=enough)
        # The server looks at its shards every ten seconds, also while they are half written.
        while shown and size.bytes * size.rows < 5 * 4000 and time.monotonic() < late:
            await asyncio.sleep(0.2)
            size = await row_size(chosen, client, "1m", enough=enough)
        hours = await row_size(chosen, client, "1h", enough=enough)
    assert size.rows == (4000 if shown else 0)
    assert 5 < size.bytes < 200
    assert (hours.rows, 5 < hours.bytes < 50) == (0, True)


@pytest.mark.influx
def test_a_token_is_tried_by_a_write_of_nothing(influx_bucket, clock, tmp_path):
    found = findings(influx_environ(influx_bucket), clock)["store"]
    assert found == Finding("store", True, f"{influx_bucket.server.url} answers, and takes writes with this token")
    wrong = findings(influx_environ(influx_bucket) | {"TOPCOINS_INFLUX_TOKEN": "nobody"}, clock)["store"]
    assert not wrong.well
    assert "topcoins init makes what is missing" in wrong.seen


@pytest.mark.influx
def test_the_disk_of_an_influxdb_is_forecast(influx_bucket, clock):
    found = findings(influx_environ(influx_bucket), clock)
    assert found["store"].well
    assert "GiB a day for 1000 assets every 5m" in found["disk"].seen
    assert "GiB after a year: ticks for 90 days, the first of each hour for ever" in found["disk"].seen
    assert "by what a simulated market took" in found["disk"].seen


def influx_environ(bucket: Bucket) -> dict[str, str]:
    return {
        "TOPCOINS_STORE_URL": bucket.server.url,
        "TOPCOINS_INFLUX_BUCKET": bucket.name,
        "TOPCOINS_INFLUX_TOKEN": bucket.server.token,
    }
