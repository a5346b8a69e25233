"""The commands that ask a running API need only Python: no fcntl, no uvloop, no Polars, as on Windows or an old CPU."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.main import get_command

from lib.cli.app import app
from lib.endpoint import http_url, open_listener
from query_api.app import create_app
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NO_SPOOLS, NOW, stocked

pytestmark = pytest.mark.stack

ABSENT = ("fcntl", "resource", "termios", "pwd", "grp", "uvloop", "httptools", "polars", "numpy", "obstore", "fastapi")
SLOW = (*ABSENT, "rich", "httpx", "structlog", "pydantic")
"""What takes most of a command's start."""
BLOCKED = """
import json, sys
commands, absent = map(json.loads, sys.argv[1:])
for name in absent:
    sys.modules[name] = None
from lib.cli import main
for arguments in commands:
    sys.argv = ["topcoins", *arguments]
    try:
        main()
    except SystemExit as end:
        print("END", arguments[0], end.code or 0, flush=True)
"""
FORMATS = ("csv", "ndjson")
SPAN = ("--from", "2026-11-17T14:30Z", "--to", "2026-11-17T14:35Z")


def run(commands: Sequence[Sequence[str]], absent: Sequence[str] = ABSENT, **settings: object) -> list[str]:
    """What the commands print, one after the other in one process that cannot import these modules."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    own |= {f"TOPCOINS_{name}": str(value) for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, json.dumps(commands), json.dumps(absent)],
        env=own, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def paths(group: Any, *names: str) -> Iterator[list[str]]:
    """The names of each command, after those of its groups."""
    for name, command in group.commands.items():
        yield [*names, name]
        if hasattr(command, "commands"):
            yield from paths(command, *names, name)


def test_the_help_of_every_command_loads_nothing_slow():
    commands = [[], *paths(get_command(app))]
    printed = run([[*path, "--help"] for path in commands], SLOW)
    assert [line for line in printed if line.startswith("END") and not line.endswith(" 0")] == []
    usages = [line.partition(" [OPTIONS]")[0] for line in printed if line.startswith("Usage: ")]
    assert usages == [" ".join(["Usage: topcoins", *path]) for path in commands]


@pytest.fixture
def port() -> Iterator[int]:
    """An API of ten minutes of history, on the loopback address of IPv6."""
    clock = FakeClock(NOW)
    app = create_app(stocked(clock), clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS)
    listener = open_listener("::1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join()
    listener.close()


def test_help_and_a_new_key_need_none_of_them():
    text = "\n".join(run([["--help"], ["key", "me"]]))
    assert "Ask a running API for the top list." in text
    assert "END --help 0" in text
    assert "END key 0" in text


def test_a_command_that_needs_them_says_so_in_one_sentence():
    (line,) = run([["doctor"]])
    assert line.startswith("END doctor topcoins: import of ")
    assert line.count("only commands that ask a running API run on every system") == 1


def test_each_client_command_runs_and_finds_the_api_by_its_settings(port: int, tmp_path: Path):
    exports = [["export", "--output", str(tmp_path / f"list.{format}"), *SPAN, "--every", "1m"] for format in FORMATS]
    columns = ["--columns", "symbol,price_usd,market_cap_usd"]
    movers = [["movers", *SPAN, "--columns", "symbol,move"], ["movers", *SPAN, "--format", "csv"]]
    history = ["history", "1", *SPAN, "--every", "1m", "--columns", "at,price_usd"]
    commands = [["top", *columns], ["top"], ["asset", "1"], history, *movers, *exports]
    # A source's key is a setting that only its file knows.
    printed = run(commands, HTTP_HOST="::1", HTTP_PORT=port, CMC_API_KEY="demo")
    assert [line for line in printed if line.startswith("END")] == [f"END {command} 0" for command, *_ in commands]
    for format in FORMATS:
        assert b"BTC" in (tmp_path / f"list.{format}").read_bytes()
    headings = [line.split() for line in printed]
    for heading in (columns[1].split(","), ["symbol", "move"], ["at", "price_usd"]):
        assert heading in headings


def test_a_column_that_is_none_is_refused_with_those_there_are(port: int):
    url = ["--url", http_url("::1", port)]
    commands = [
        [*command, "--columns", "at,nope", *url] for command in (["history", "1", *SPAN], ["movers", *SPAN], ["top"])
    ]
    for line in (printed := [line for line in run(commands) if line.startswith("END")]):
        assert line.endswith(" 2")
    assert len(printed) == 3


def test_an_export_that_needs_polars_fetches_nothing(port: int, tmp_path: Path):
    file = tmp_path / "list.parquet"
    (line,) = run([["export", "--output", str(file), *SPAN, "--url", http_url("::1", port)]])
    assert "import of polars" in line
    assert list(tmp_path.iterdir()) == []
