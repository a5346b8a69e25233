"""How a service process begins: its arguments, and the settings it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from lib.settings import log_of

BEGIN = """
import sys
from lib import process
with process.begin("ingest_price", sys.argv[1:]) as chosen:
    print("began", flush=True)
"""


def run(*arguments: str, program: Sequence[str] = ("-c", BEGIN), **settings: str) -> "subprocess.CompletedProcess[str]":
    """What `BEGIN`, or another program, does with these arguments and settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    own |= {f"TOPCOINS_{name}": value for name, value in settings.items()}
    return subprocess.run([sys.executable, *program, *arguments], env=own, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help_starts_nothing(argument):
    done = run(argument)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: python -m ingest_price\n")


@pytest.mark.parametrize("arguments", [["start"], ["--port", "80"], ["--version"]])
def test_an_argument_starts_nothing(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ingest_price: takes no arguments, and got {' '.join(arguments)}\n")


def test_a_key_given_as_an_argument_is_not_shown():
    assert "canary" not in run("--key", "canary-5f3a9c1e2b7d").stderr


def test_a_refused_setting_is_one_sentence():
    done = run(ASSETS="many")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("ingest_price: TOPCOINS_ASSETS ")


@pytest.mark.parametrize(
    ("program", "service"),
    [
        (("-c", BEGIN), "ingest_price"),
        (("-m", "lib.cli", "archive"), "archive"),
        (("-m", "lib.simulator.past"), "history"),
    ],
)
def test_a_refused_setting_is_a_line_of_a_json_log(program, service):
    done = run(program=program, ASSETS="many", LOG_FORMAT="json")
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["event"], line["level"], line["service"]) == ("setting refused", "error", service)
    assert line["why"].startswith("TOPCOINS_ASSETS ")


def test_a_refused_setting_is_in_a_json_log_file_and_on_stderr(tmp_path):
    done = run(ASSETS="many", LOG_FORMAT="json", LOG_FILE=str(tmp_path / "log"))
    (line,) = map(json.loads, (tmp_path / "log").read_text("utf-8").splitlines())
    assert line["why"].startswith("TOPCOINS_ASSETS ")
    assert done.stderr == f"ingest_price: {line['why']}\n"


def test_the_log_of_a_services_table_is_known_where_another_setting_is_wrong(tmp_path):
    path = tmp_path / "topcoins.toml"
    path.write_text('assets = "many"\n[query_api]\nlog_format = "json"\n')
    environ = {"TOPCOINS_CONFIG": str(path)}
    assert log_of(environ, "query_api") == ("json", "")
    assert log_of(environ, "ingest_rank") == ("", "")
    assert log_of(environ | {"TOPCOINS_LOG_FORMAT": "console"}, "query_api") == ("console", "")
    assert log_of({"TOPCOINS_CONFIG": str(tmp_path / "none")}, "query_api") == ("", "")


def test_a_command_whose_caller_closed_stdout_is_done_without_a_traceback(tmp_path):
    (tmp_path / "trades.csv").write_text("time,ticker\n")
    command = [sys.executable, "-m", "lib.cli", "price", str(tmp_path / "trades.csv")]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
