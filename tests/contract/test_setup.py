"""`topcoins init` on a real server: idempotent, also half-done; and tokens that can do nothing more than they must."""

import stat
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from lib.errors import SettingsRejected, StoreRejected, StoreUnavailable
from lib.store.influx.setup import CONSUMERS, Setup, set_up
from tests.influxd import fresh_influxd

pytestmark = pytest.mark.influx
RETENTION = timedelta(days=90)
POINT = "price,cmc_id=1,tier=0 usd=1 "


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


def run(url, folder, *, retention=RETENTION) -> Setup:
    with httpx.Client() as client:
        return set_up(url, org="topcoins", bucket="market", retention=retention, folder=folder, client=client)


@pytest.fixture(scope="module")
def ready(url, folder) -> Setup:
    return run(url, folder)


def token(folder, consumer) -> str:
    return str((folder / consumer / "influx_token").read_text())


def ask(url, token, method, path, **asked) -> int:
    headers = {"Authorization": f"Token {token}"}
    return httpx.request(method, f"{url}/api/v2/{path}", headers=headers, timeout=20, **asked).status_code


def query(url, token, bucket) -> int:
    flux = f'from(bucket: "{bucket}") |> range(start: -1h)'
    return ask(url, token, "POST", "query", params={"org": "topcoins"}, json={"query": flux})


def write(url, token, bucket) -> int:
    asked = {"org": "topcoins", "bucket": bucket, "precision": "s"}
    return ask(url, token, "POST", "write", params=asked, content="price,cmc_id=1 usd=1")


def test_a_fresh_server_gets_all_of_it(ready, folder):
    assert {"server", "bucket market_hourly", "task topcoins_hourly", "token of grafana"} <= set(ready.made)
    for consumer in CONSUMERS:
        assert stat.S_IMODE((folder / consumer / "influx_token").stat().st_mode) == 0o440
    for secret in ("influx_token", "password"):
        assert stat.S_IMODE((folder / "operator" / secret).stat().st_mode) == 0o400
    assert len({token(folder, consumer) for consumer in (*CONSUMERS, "operator")}) == 5


def test_a_second_run_makes_nothing(url, folder, ready):
    before = [token(folder, consumer) for consumer in CONSUMERS]
    assert run(url, folder).made == ()
    assert [token(folder, consumer) for consumer in CONSUMERS] == before


def test_a_lost_token_is_made_anew_and_the_old_one_is_dead(url, folder, ready):
    old = token(folder, "grafana")
    (folder / "grafana" / "influx_token").unlink()
    assert run(url, folder).made == ("token of grafana",)
    assert query(url, old, "market") == 401
    assert query(url, token(folder, "grafana"), "market") == 200


def test_a_run_that_died_before_the_server_took_the_token_goes_on_with_it(tmp_path, tmp_path_factory):
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as fresh:
        (tmp_path / "operator").mkdir()
        (tmp_path / "operator" / "influx_token").write_text("written-down-before-the-crash")
        run(fresh, tmp_path)
        assert ask(fresh, "written-down-before-the-crash", "GET", "authorizations") == 200


def test_another_retention_is_taken_over(url, folder, ready):
    assert run(url, folder, retention=timedelta(days=30)).made == ("bucket market", "task topcoins_hourly")
    run(url, folder)


@pytest.mark.parametrize(
    ("consumer", "reads", "writes"),
    [
        ("ingest_price", ["market"], ["market"]),
        ("ingest_rank", ["market"], ["market"]),
        ("query_api", ["market", "market_hourly"], []),
        ("grafana", ["market", "market_hourly"], []),
    ],
)
def test_a_consumer_s_token_can_do_nothing_more(url, folder, ready, consumer, reads, writes):
    own = token(folder, consumer)
    for bucket in ("market", "market_hourly", "_monitoring"):
        assert (query(url, own, bucket) == 200) == (bucket in reads)
        assert (write(url, own, bucket) == 204) == (bucket in writes)
    span = {"start": "2026-01-01T00:00:00Z", "stop": "2026-01-02T00:00:00Z"}
    gone = ask(url, own, "POST", "delete", params={"org": "topcoins", "bucket": "market"}, json=span)
    assert (gone == 204) == ("market" in writes)
    operator = token(folder, "operator")
    headers = {"Authorization": f"Token {operator}"}
    (org,) = httpx.get(f"{url}/api/v2/orgs", headers=headers).json()["orgs"]
    assert (
        not httpx.get(f"{url}/api/v2/authorizations", headers={"Authorization": f"Token {own}"})
        .json()
        .get("authorizations")
    )
    assert not httpx.get(f"{url}/api/v2/users", headers={"Authorization": f"Token {own}"}).json().get("users")
    made = [
        ask(url, own, "POST", "buckets", json={"orgID": org["id"], "name": "mine", "retentionRules": []}),
        ask(url, own, "POST", "tasks", json={"orgID": org["id"], "flux": "option task = {name: 'x', every: 1h}"}),
        ask(url, own, "POST", "authorizations", json={"orgID": org["id"], "permissions": []}),
        ask(url, own, "POST", "orgs", json={"name": "mine"}),
    ]
    assert all(status >= 400 for status in made)


def test_a_server_set_up_by_somebody_else_needs_its_operator_s_token(url, ready, tmp_path):
    with pytest.raises(SettingsRejected, match="set up already"):
        run(url, tmp_path)
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "influx_token").write_text("wrong")
    with pytest.raises(StoreRejected, match="holds no operator's token"):
        run(url, tmp_path)


def test_an_absent_server_is_told(tmp_path):
    with pytest.raises(StoreUnavailable, match="does not answer"):
        run("http://127.0.0.1:9", tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_error_holds_a_secret(url, folder, ready, tmp_path):
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "influx_token").write_text("canary-token")
    with pytest.raises(StoreRejected) as error:
        run(url, tmp_path)
    assert "canary" not in str(error.value)
