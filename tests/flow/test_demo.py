"""`topcoins demo`, from its start to Ctrl-C."""

import json
import re
import signal
import socket
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lib.cli.stack import Ended, Stack
from lib.clock import isoformat, slot, utc_now
from tests.flow.processes import Api, Stage, eventually
from tests.ports import free_port

pytestmark = pytest.mark.stack

MINUTE = timedelta(minutes=1)
HISTORY = timedelta(minutes=10)
AGO = timedelta(minutes=5)
SIMULATED = "The market is simulated"


def demo(stage: Stage, *arguments: str, **settings: str) -> Api:
    ports = free_port(), free_port()
    listening = ["--port", str(ports[0]), "--safe-port", str(ports[1])]
    return Api(stage.topcoins("demo", "--assets", "50", *listening, *arguments, **settings), *ports)


def move_back(store: Path, span: timedelta) -> None:
    """Make all that is stored older, as if the demo had run that much earlier."""
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        for table in ("price", "volume_rank", "snapshot"):
            connection.execute(f"UPDATE {table} SET tick = tick - ?", (int(span.total_seconds()),))


def test_once_prints_a_list_and_leaves_no_files(stage):
    run = demo(stage, "--once", STORE_URL="not an address", CMC_API_KEY="real").process
    assert run.ends() == 0
    assert "Top 10 by 24h volume as of" in run.out
    assert "Bitcoin" in run.out
    assert SIMULATED in run.err
    assert stage.alive() == []
    (folder,) = re.findall(r"Data and logs are in (\S+) ", " ".join(run.err.split()))
    assert not Path(folder).exists()


@pytest.mark.slow
def test_a_list_comes_first_then_the_history_without_a_gap_and_kept_data_stays(stage):
    store = stage.folder / "kept" / "topcoins.db"
    before = demo(stage, "--once", "--json", "--data", "kept").process
    assert before.ends() == 0
    assert SIMULATED in before.err
    answer = json.loads(before.out)  # JSON alone is on stdout
    assert answer["count"] == len(answer["data"]) == 10
    assert answer["sources"] == {"price": "coinmarketcap", "rank": "coindesk"}
    move_back(store, AGO)

    api = demo(stage, "--history", "10m", "--data", "kept")
    api.process.until(lambda: "Ctrl-C ends it" in api.process.err)
    output = api.process.err
    assert (
        0 <= output.index(SIMULATED) < output.index(f"curl 'http://localhost:{api.port}") < output.index(" filled in ")
    )
    no_minute_is_missing(api)
    both_ports_answer_the_same(api)
    the_ordinary_path_was_taken(store)
    kept = prices(store, datetime.fromisoformat(answer["price_time"]) - AGO)
    assert len(kept) == 50
    assert {row["cmc_id"]: row["price_usd"] for row in answer["data"]}.items() <= kept.items()
    api.process.send(signal.SIGINT)
    assert api.process.ends() == 0
    assert stage.alive() == []


def no_minute_is_missing(api: Api) -> None:
    now = utc_now()
    begin = slot(now - HISTORY, MINUTE)  # the minute that runs is left out: its tick may be on its way
    for minute in (begin + n * MINUTE for n in range(10)):
        answer = api.get("/", datetime=isoformat(minute)).json()
        assert answer.get("price_time") == answer.get("rank_time") == isoformat(minute), answer
    for series in api.get("/v1/status").json()["series"].values():
        assert series["stored_last_hour"] == series["expected_last_hour"] >= 9


def both_ports_answer_the_same(api: Api) -> None:
    asked = isoformat(slot(utc_now() - 2 * MINUTE, MINUTE))
    for format in ("json", "csv"):
        answers = [api.get("/", port=port, datetime=asked, format=format) for port in (api.port, api.safe_port)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content
        assert answers[0].headers["etag"] == answers[1].headers["etag"]


def the_ordinary_path_was_taken(store: Path) -> None:
    """Snapshots of both sources, live and backfilled, each with its marker."""
    kinds = {}
    with closing(sqlite3.connect(store)) as connection:
        asked = "SELECT source, backfilled, COUNT(*), MIN(assets) FROM snapshot GROUP BY 1, 2"
        for source, backfilled, ticks, assets in connection.execute(asked):
            kinds[source, backfilled] = ticks
            assert assets > 40
    for source in ("coinmarketcap", "coindesk"):
        assert kinds[source, 0] >= 2
        assert kinds[source, 1] >= 9


def prices(store: Path, tick: datetime) -> dict[int, float]:
    with closing(sqlite3.connect(store)) as connection:
        found = connection.execute("SELECT cmc_id, usd FROM price WHERE tick = ?", (int(tick.timestamp()),))
        return dict(found.fetchall())


@pytest.mark.parametrize("option", ["--port", "--safe-port"])
def test_a_port_in_use_is_one_sentence_that_names_the_option(stage, option):
    ports = {"--port": str(free_port()), "--safe-port": str(free_port())}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports[option] = str(taken.getsockname()[1])
        run = stage.topcoins("demo", *(word for pair in ports.items() for word in pair))
        assert run.ends() == 2
    assert run.out == ""
    (sentence,) = run.err.splitlines()
    assert sentence.startswith(f"topcoins: port {ports[option]} can't be listened on: address already in use; ")
    assert sentence.endswith(f" {option}")


def test_a_process_that_ends_by_itself_is_named_with_the_end_of_its_log(tmp_path, environ):
    stack = Stack(tmp_path)
    stack.start("one", ["-c", "import sys; print('why'); sys.exit(3)"], environ)
    with pytest.raises(Ended, match=r"^one ended with exit code 3; its log ends: why$"):
        stack.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_ended_or_killed_while_it_starts_it_leaves_no_process(stage, number, code):
    run = demo(stage).process
    run.until(lambda: len(stage.alive()) >= 4)  # itself, the simulator and a service or two
    run.send(number)
    assert run.ends() == code
    eventually(lambda: stage.alive() == [])
    assert "Traceback" not in run.err, run.err


@pytest.mark.slow
def test_ctrl_c_while_the_history_fills_ends_all_processes(stage):
    api = demo(stage, "--history", "24h")
    api.process.until(lambda: any("lib.simulator.history" in command for command in stage.alive()))
    assert api.answers("/").json()["count"] > 40
    names = " ".join(stage.alive())
    for part in ("simulate", "ingest_price", "ingest_rank", "query_api", "lib.simulator.history"):
        assert part in names
    api.process.send(signal.SIGINT)
    assert api.process.ends() == 0
    assert stage.alive() == []
    assert "Traceback" not in api.process.err
