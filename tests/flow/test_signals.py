"""How the services end and when they do not: signals, wrong settings, an absent store or upstream."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lib.clock import utc_now
from lib.settings import SERVICES
from lib.snapshot import Marker
from lib.store.sqlite import SqliteStore
from tests.fakes import RECORDED
from tests.flow.processes import WITHIN_S, Api, Process, upstream
from tests.ports import free_port

pytestmark = pytest.mark.stack

INGESTORS = ("ingest_price", "ingest_rank")
STILL_S = 0.5
"""How long is looked that something does not happen."""


class WaitingUpstream:
    """An upstream that takes a request and answers it, with a recorded list, only when released."""

    def __init__(self) -> None:
        self.asked, self.released = threading.Event(), threading.Event()
        body = (RECORDED / "cmc-listings-latest-100-20240317T1034Z.json").read_bytes()
        waiting = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                waiting.asked.set()
                waiting.released.wait(WITHIN_S)
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = {**upstream(self.server.server_address[1]), "RANK_SOURCE": "coinmarketcap", "ASSETS": 100}


async def all_markers(path: Path) -> list[Marker]:
    store = SqliteStore(path, clock=utc_now)
    found = await store.markers(utc_now() - timedelta(days=1), utc_now())
    await store.close()
    return found


@pytest.fixture
def upstream_that_waits() -> Iterator[WaitingUpstream]:
    upstream = WaitingUpstream()
    thread = threading.Thread(target=upstream.server.serve_forever)
    thread.start()
    yield upstream
    upstream.released.set()
    upstream.server.shutdown()
    thread.join()
    upstream.server.server_close()


@pytest.mark.parametrize(("service", "number"), [("ingest_price", signal.SIGTERM), ("ingest_rank", signal.SIGINT)])
async def test_a_tick_that_runs_when_the_end_is_asked_for_is_still_stored(stage, upstream_that_waits, service, number):
    process = stage.service(service, **upstream_that_waits.settings)
    process.until(upstream_that_waits.asked.is_set)
    process.send(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.ends(within=STILL_S)
    upstream_that_waits.released.set()
    assert process.ends() == 0
    names = [event["event"] for event in process.events]
    assert (names[0], names.count("tick"), names[-1]) == ("polling", 1, "stopped")
    (marker,) = await all_markers(stage.store)
    assert marker.assets == 100
    assert process.err == ""


HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


@pytest.mark.parametrize("service", SERVICES)
def test_a_stray_signal_ends_no_service_and_a_hangup_opens_a_moved_log_again(stage, service):
    log, moved = stage.folder / "log", stage.folder / "log.1"
    settings = {"HTTP_PORT": free_port(), "HTTP_SAFE_PORT": free_port(), **upstream(free_port())}
    process = stage.service(service, LOG_FILE=log, LOG_FORMAT="json", **settings)
    process.until(lambda: log.exists() and log.read_text("utf-8"))
    log.rename(moved)
    for number in HARMLESS:
        process.send(number)
    process.until(log.exists)
    if service == "query_api":
        api = Api(process, int(str(settings["HTTP_PORT"])), int(str(settings["HTTP_SAFE_PORT"])))
        assert api.answers("/healthz").json() == {"status": "ok"}
    process.send(signal.SIGTERM)
    assert process.ends() == 0
    assert "Traceback" not in log.read_text("utf-8") + moved.read_text("utf-8") + process.out + process.err


@pytest.mark.parametrize("service", SERVICES)
def test_a_wrong_setting_ends_a_service_with_one_sentence(stage, service):
    process = stage.service(service, ASSETS="many")
    assert process.ends() == 1
    assert process.out == ""
    (sentence,) = process.err.splitlines()
    assert sentence.startswith(f"{service}: TOPCOINS_ASSETS (or assets in the file): 'many': ")


def test_a_folder_that_cannot_be_written_is_named(stage):
    process = stage.start("-m", "ingest_price", SPOOL_DIR="/dev/null/spool")
    assert process.ends() == 1
    (sentence,) = process.err.splitlines()
    assert sentence.startswith("ingest_price: TOPCOINS_SPOOL_DIR: /dev/null/spool/price can't be written: ")


def test_a_port_in_use_ends_the_api_with_one_sentence(stage):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = stage.service("query_api", HTTP_PORT=free_port(), HTTP_SAFE_PORT=port)
        assert process.ends() == 1
    (sentence,) = process.err.splitlines()
    assert sentence.startswith(f"query_api: 127.0.0.1:{port} can't be listened on: ")


def test_a_rank_source_without_its_key_is_named_with_the_setting(stage):
    process = stage.service("ingest_rank", RANK_SOURCE="coindesk")
    assert process.ends() == 1
    assert process.err == "ingest_rank: no source of volume_rank has its key; set TOPCOINS_COINDESK_API_KEY\n"


@pytest.mark.parametrize(("command", "code"), [(["top"], 4), (["demo", "--history", "long"], 2)])
def test_a_failure_of_the_command_is_reported_in_one_sentence_and_by_its_exit_code(stage, command, code):
    process = stage.topcoins(*command, HTTP_PORT=free_port())
    assert process.ends() == code
    (sentence,) = process.err.splitlines()
    assert sentence.startswith("topcoins: ")
    assert process.out == ""


def test_an_absent_upstream_is_waited_for_and_then_asked_once_for_both_series(stage):
    port = free_port()
    chosen = {"INTERVAL": "2s", "ASSETS": 50, "RANK_SOURCE": "coinmarketcap", **upstream(port)}
    processes = [stage.service(name, **chosen) for name in INGESTORS]
    for process in processes:
        failed = process.event("tick failed")
        assert (failed["level"], failed["kind"]) == ("error", "SourceUnavailable")
    stage.simulator("--assets", "50", "--unlimited", port=port)
    for process in processes:
        well = process.event("ticks succeed again")
        assert well["failed"] >= 1
        names = [event["event"] for event in process.events]
        assert names.count("tick failed") == 1
        assert process.runs
    first, second = processes
    first.until(lambda: any(credits == [0, 1] for credits in costs(first, second)))


def costs(first: Process, second: Process) -> list[list[float]]:
    """The credits of the two markers of each tick that both have, without the order."""
    of_first, of_second = (
        {event["tick"]: event["credits"] for event in process.events if event["event"] == "tick"}
        for process in (first, second)
    )
    return [sorted([credits, of_second[tick]]) for tick, credits in of_first.items() if tick in of_second]


async def test_an_absent_store_is_logged_and_waited_for_and_nothing_is_lost(stage):
    simulated = stage.simulator("--assets", "50", "--unlimited")
    stage.store.mkdir(parents=True)  # a folder where the file should be
    processes = [stage.service(name, INTERVAL="2s", ASSETS=50, **simulated) for name in INGESTORS]
    api = stage.api()
    for process in processes:
        away = process.event("store away: snapshots wait in the spool")
        assert (away["level"], away["kind"]) == ("error", "StoreUnavailable")
        assert "topcoins.db: unable to open database file" in away["why"]
    problem = api.answers("/", 503)
    assert int(problem.headers["retry-after"]) > 0
    assert api.get("/readyz").status_code == 503
    assert api.get("/healthz").status_code == 200
    assert "topcoins_store_up 0.0" in api.get("/metrics").text
    assert "unable to open database file" in api.process.out
    assert str(stage.store) not in problem.text
    stage.store.rmdir()
    assert api.answers("/readyz").status_code == 200
    for process in processes:
        process.event("store back: the spool is delivered")
        process.send(signal.SIGTERM)
        assert process.ends() == 0
        fetched = {datetime.fromisoformat(event["tick"]) for event in process.events if event["event"] == "tick"}
        assert fetched <= {marker.tick for marker in await all_markers(stage.store)}
    assert api.answers("/").json()["count"] > 40
