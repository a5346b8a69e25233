"""The three services as processes on a real InfluxDB, each with the token `topcoins init` made for it."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from pydantic import SecretStr

from lib.clock import slot, utc_now
from lib.schema import OWN
from lib.store.influx import InfluxStore
from tests.flow.processes import Api
from tests.influxd import fresh_influxd
from tests.ports import free_port
from tests.sample import sample_snapshot

pytestmark = [pytest.mark.stack, pytest.mark.influx]
HOUR = timedelta(hours=1)
HOURS_AGO = (1, 2, 25, 26)


def test_after_init_the_services_answer_and_report_an_absent_store(stage, tmp_path_factory):
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as url:
        store = {"STORE_URL": url, "SPOOL_DIR": stage.folder / "spool"}
        for made in (True, False):
            init = stage.topcoins("init", "--folder", "tokens", "--json", **store)
            assert init.ends() == 0, init.err
            assert ("bucket market" in json.loads(init.out)["made"]) == made

        def service(name: str, **settings: object):
            token = stage.folder / "tokens" / name / "influx_token"
            return stage.start("-m", name, INFLUX_TOKEN_FILE=token, **store, **settings)

        upstream = stage.simulator("--assets", "300", "--unlimited")
        ingestors = [service(name, ASSETS=300, **upstream) for name in ("ingest_price", "ingest_rank")]
        apis = []
        for _ in range(2):
            port, safe_port = free_port(), free_port()
            apis.append(Api(service("query_api", HTTP_PORT=port, HTTP_SAFE_PORT=safe_port), port, safe_port))
        top = apis[0].answers("/v1/top", limit=250).json()
        assert top["count"] == 250
        assert [row["rank"] for row in top["data"]] == list(range(1, 251))
        assert top["assets"]["matched"] <= min(top["assets"]["price"], top["assets"]["rank"])
        # Two processes on one store give the same answer for the same instant.
        asked = {"limit": 250, "datetime": top["requested_at"]}
        first, second = (api.answers("/v1/top", 200, **asked) for api in apis)
        assert first.content == second.content
        assert first.headers["etag"] == second.headers["etag"]
        assert datetime.fromisoformat(top["price_time"]) <= datetime.fromisoformat(top["requested_at"])
        for ingestor in ingestors:
            assert ingestor.event("tick")
    away = apis[0].answers("/v1/top", 503, datetime="now-1m")
    assert int(away.headers["retry-after"]) > 0
    assert url not in away.text
    assert apis[0].get("/readyz").status_code == 503
    assert apis[0].get("/healthz").status_code == 200
    output = "".join(process.out + process.err for process in (*ingestors, *(api.process for api in apis)))
    for name in ("ingest_price", "ingest_rank", "query_api", "operator"):
        assert (stage.folder / "tokens" / name / "influx_token").read_text() not in output


def test_the_commands_back_an_archive_up_and_restore_it_into_a_fresh_server(stage, tmp_path_factory):
    def topcoins(url: str, whose: str, *arguments: object) -> list[str]:
        token = {"INFLUX_TOKEN_FILE": stage.folder / whose / "influx_token"} if whose else {}
        command = stage.topcoins(*map(str, arguments), STORE_URL=url, **token)
        assert command.ends() == 0, command.err
        return sorted(command.out.splitlines())

    with (
        fresh_influxd(tmp_path_factory.mktemp("influxd")) as old,
        fresh_influxd(tmp_path_factory.mktemp("influxd")) as new,
    ):
        topcoins(old, "", "init", "--folder", "old")
        asyncio.run(fill(old, SecretStr((stage.folder / "old/ingest_price/influx_token").read_text())))
        backed_up = topcoins(old, "old/query_api", "backup", "kept")
        assert sum(int(line.split()[2]) for line in backed_up) == 2 * len(HOURS_AGO)
        topcoins(new, "", "init", "--folder", "new")
        assert topcoins(new, "new/operator", "restore", "kept") == backed_up
        assert topcoins(new, "new/query_api", "backup", "again") == backed_up


async def fill(url: str, token: SecretStr) -> None:
    store = InfluxStore(url, org="topcoins", bucket="market", token=token, clock=utc_now)
    for hours in HOURS_AGO:
        for series in OWN.values():
            await store.write(sample_snapshot(series, slot(utc_now(), HOUR) - hours * HOUR, 50))
    await store.close()
