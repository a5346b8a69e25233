"""`topcoins init` on a real server: idempotent, also half-done; and tokens that can do nothing more than they must."""

import itertools
import stat
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from lib.errors import SettingsRejected, StoreRejected, StoreUnavailable
from lib.store.influx.hourly import TASK
from lib.store.influx.setup import CONSUMERS, Setup
from tests.influxd import VERIFIES, fresh_influxd

pytestmark = [pytest.mark.influx, pytest.mark.xdist_group("setup")]
RETENTION = timedelta(days=90)
BUCKETS = {"market", "market_hourly", "market_metrics"}


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokens")


SCRAPE = "http://127.0.0.1:9/metrics"


def run(url, folder, *, retention=RETENTION, transport=None, scrape: str | None = SCRAPE) -> Setup:
    with httpx.Client(transport=transport, verify=VERIFIES) as client:
        bucket = {"org": "topcoins", "bucket": "market", "retention": retention}
        setup = Setup(url=url, folder=folder, client=client, scrape=scrape, **bucket)
        setup.run()
        return setup


@pytest.fixture(scope="module")
def ready(url, folder) -> Setup:
    return run(url, folder)


def token(folder, consumer) -> str:
    return str((folder / consumer / "influx_token").read_text())


def ask(url, token, method, path, **asked) -> int:
    headers = {"Authorization": f"Token {token}"}
    return httpx.request(
        method, f"{url}/api/v2/{path}", headers=headers, timeout=20, **asked, verify=VERIFIES
    ).status_code


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
    assert run(url, folder).made == []
    assert [token(folder, consumer) for consumer in CONSUMERS] == before


def test_a_lost_token_is_made_anew_and_the_old_one_is_dead(url, folder, ready):
    old = token(folder, "grafana")
    (folder / "grafana" / "influx_token").unlink()
    assert run(url, folder).made == ["token of grafana"]
    assert query(url, old, "market") == 401
    assert query(url, token(folder, "grafana"), "market") == 200


def test_a_run_that_died_before_the_server_took_the_token_uses_it_again(tmp_path, tmp_path_factory):
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as fresh:
        (tmp_path / "operator").mkdir()
        (tmp_path / "operator" / "influx_token").write_text("written-down-before-the-crash")
        run(fresh, tmp_path)
        assert ask(fresh, "written-down-before-the-crash", "GET", "authorizations") == 200


class Dies(httpx.HTTPTransport):
    """The run dies at this request: before it is sent, or after the server ran it and before we read the answer."""

    def __init__(self, at: int, *, done: bool) -> None:
        super().__init__()
        self.left = at
        self.done = done

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.left -= 1
        if self.left == 0:
            if self.done:
                super().handle_request(request).read()
            raise httpx.ReadError("died here")
        return super().handle_request(request)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_runs_that_die_one_request_further_each_time_are_completed_by_the_next(done, tmp_path, tmp_path_factory):
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as fresh:
        for at in itertools.count(1):
            dies = Dies(at, done=done)
            try:
                run(fresh, tmp_path, transport=dies)
            except StoreUnavailable:
                continue
            break
        assert at > 10
        assert run(fresh, tmp_path).made == []
        operator = token(tmp_path, "operator")
        headers = {"Authorization": f"Token {operator}"}
        for what, most in (("buckets", BUCKETS | {"_monitoring", "_tasks"}), ("tasks", {TASK})):
            made = [
                each["name"]
                for each in httpx.get(f"{fresh}/api/v2/{what}", headers=headers, verify=VERIFIES).json()[what]
            ]
            assert sorted(made) == sorted(most)
        scrapers = httpx.get(f"{fresh}/api/v2/scrapers", headers=headers, verify=VERIFIES).json()["configurations"]
        assert [each["url"] for each in scrapers] == [SCRAPE]
        given = httpx.get(f"{fresh}/api/v2/authorizations", headers=headers, verify=VERIFIES).json()["authorizations"]
        assert len(given) == 1 + len(CONSUMERS)
        for consumer in CONSUMERS:
            assert query(fresh, token(tmp_path, consumer), "market") == 200


def test_a_token_of_other_rights_is_replaced(url, folder, ready):
    """As after an upgrade that needs more rights, or after a change by hand."""
    operator = token(folder, "operator")
    headers = {"Authorization": f"Token {operator}"}
    bucket = httpx.get(f"{url}/api/v2/buckets", params={"name": "market"}, headers=headers, verify=VERIFIES).json()[
        "buckets"
    ][0]
    found = httpx.get(f"{url}/api/v2/authorizations", headers=headers, verify=VERIFIES).json()["authorizations"]
    (own,) = [each for each in found if each["description"] == "topcoins query_api"]
    httpx.delete(f"{url}/api/v2/authorizations/{own['id']}", headers=headers, verify=VERIFIES)
    may = [{"action": action, "resource": {"type": "buckets", "id": bucket["id"]}} for action in ("read", "write")]
    asked = {"orgID": bucket["orgID"], "description": "topcoins query_api", "permissions": may}
    wide = httpx.post(f"{url}/api/v2/authorizations", headers=headers, json=asked, verify=VERIFIES).json()["token"]
    file = folder / "query_api" / "influx_token"
    file.unlink()
    file.write_text(wide)
    assert run(url, folder).made == ["token of query_api"]
    assert query(url, wide, "market") == 401
    assert write(url, token(folder, "query_api"), "market") == 403
    assert query(url, token(folder, "query_api"), "market_hourly") == 200


def test_another_retention_is_taken_over(url, folder, ready):
    assert run(url, folder, retention=timedelta(days=30)).made == ["bucket market", "task topcoins_hourly"]
    run(url, folder)


def test_metrics_are_scraped_from_one_address_into_a_bucket_of_two_weeks(url, folder, ready):
    headers = {"Authorization": f"Token {token(folder, 'operator')}"}

    def scrapers() -> list[tuple[str, str]]:
        made = httpx.get(f"{url}/api/v2/scrapers", headers=headers, verify=VERIFIES).json()["configurations"]
        return [(each["url"], each["bucket"]) for each in made]

    assert run(url, folder, scrape="http://127.0.0.1:10/metrics").made == ["scraper of http://127.0.0.1:10/metrics"]
    assert scrapers() == [("http://127.0.0.1:10/metrics", "market_metrics")]
    assert run(url, folder, scrape=None).made == []
    run(url, folder)
    assert scrapers() == [(SCRAPE, "market_metrics")]
    (bucket,) = httpx.get(
        f"{url}/api/v2/buckets", params={"name": "market_metrics"}, headers=headers, verify=VERIFIES
    ).json()["buckets"]
    assert bucket["retentionRules"][0]["everySeconds"] == 14 * 24 * 3600


@pytest.mark.parametrize(
    ("consumer", "reads", "writes"),
    [
        ("ingest_price", ["market"], ["market"]),
        ("ingest_rank", ["market"], ["market"]),
        ("query_api", ["market", "market_hourly"], []),
        ("grafana", ["market", "market_hourly", "market_metrics"], []),
    ],
)
def test_a_token_of_a_consumer_cannot_do_more(url, folder, ready, consumer, reads, writes):
    own = token(folder, consumer)
    for bucket in (*BUCKETS, "_monitoring"):
        assert (query(url, own, bucket) == 200) == (bucket in reads)
        assert (write(url, own, bucket) == 204) == (bucket in writes)
    span = {"start": "2026-01-01T00:00:00Z", "stop": "2026-01-02T00:00:00Z"}
    gone = ask(url, own, "POST", "delete", params={"org": "topcoins", "bucket": "market"}, json=span)
    assert (gone == 204) == ("market" in writes)
    operator = token(folder, "operator")
    headers = {"Authorization": f"Token {operator}"}
    (org,) = httpx.get(f"{url}/api/v2/orgs", headers=headers, verify=VERIFIES).json()["orgs"]
    assert (
        not httpx.get(f"{url}/api/v2/authorizations", headers={"Authorization": f"Token {own}"}, verify=VERIFIES)
        .json()
        .get("authorizations")
    )
    assert (
        not httpx.get(f"{url}/api/v2/users", headers={"Authorization": f"Token {own}"}, verify=VERIFIES)
        .json()
        .get("users")
    )
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
    with pytest.raises(StoreRejected, match="is not this server's operator token"):
        run(url, tmp_path)


def test_an_absent_server_is_reported(tmp_path):
    with pytest.raises(StoreUnavailable, match="does not answer"):
        run("http://127.0.0.1:9", tmp_path)
    assert not list(tmp_path.iterdir())


def test_no_error_contains_a_secret(url, folder, ready, tmp_path):
    (tmp_path / "operator").mkdir()
    (tmp_path / "operator" / "influx_token").write_text("canary-token")
    with pytest.raises(StoreRejected) as error:
        run(url, tmp_path)
    assert "canary" not in str(error.value)
