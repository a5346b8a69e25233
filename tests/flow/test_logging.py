"""One file of settings configures the log of each service: its level, its format and its file."""

import json
from pathlib import Path

import pytest

from tests.flow.processes import eventually
from tests.ports import free_port

pytestmark = pytest.mark.stack

SETTINGS = """
store_url = "sqlite:///data/topcoins.db"
cmc_url = "http://127.0.0.1:{absent}"
coindesk_url = "http://127.0.0.1:{absent}"
cmc_api_key = "demo"
rank_source = "coinmarketcap"
interval = "1s"
log_format = "json"

[ingest_price]
log_level = "debug"

[ingest_rank]
log_format = "console"
log_file = "rank.log"

[query_api]
log_level = "warning"
http_port = {port}
http_safe_port = {safe_port}
"""


@pytest.fixture
def config(stage):
    path = stage.folder / "topcoins.toml"
    path.write_text(SETTINGS.format(absent=free_port(), port=free_port(), safe_port=free_port()))
    return path


def read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


def test_each_service_logs_as_its_own_table_configures(stage, config):
    price, rank, api = (
        stage.start("-m", name, CONFIG=config, SPOOL_DIR=f"data/{name}")
        for name in ("ingest_price", "ingest_rank", "query_api")
    )
    price.event("tick failed", level="error")
    price.event("tick failed", level="debug")  # the second of an outage
    assert "info" in {event["level"] for event in price.events}

    log = stage.folder / "rank.log"
    eventually(lambda: "tick failed" in read(log))
    text = read(log)
    assert "polling" in text
    assert not [line for line in text.splitlines() if line.startswith("{")]
    assert "[debug" not in text
    assert (rank.out, rank.err) == ("", "")

    store = stage.folder / "data" / "topcoins.db"
    eventually(store.exists)
    assert api.runs
    assert (api.out, api.err) == ("", "")


def test_the_environment_wins_over_the_file(stage, config):
    log = stage.folder / "own.log"
    rank = stage.start("-m", "ingest_rank", CONFIG=config, SPOOL_DIR="data/spool", LOG_FORMAT="json", LOG_FILE=log)
    eventually(lambda: "tick failed" in read(log))
    for line in read(log).splitlines():
        assert {"event", "level", "logger", "timestamp"} <= json.loads(line).keys()
    assert rank.out == ""
    assert not (stage.folder / "rank.log").exists()
