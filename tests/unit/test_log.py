"""Logs: where they go, in which form, and that no secret is in them."""

import json
import logging
import os
import sys
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest
import structlog
from pydantic import SecretStr

from lib import log
from lib.errors import SettingsRejected
from lib.line_limit import LineLimit
from lib.redaction import HIDDEN, Redaction
from lib.settings import Settings, load

CANARY = "canary-5f3a9c1e"
FORMS = pytest.mark.parametrize("form", ["console", "json"])


@pytest.fixture
def logged(tmp_path):
    """Configures the log of a process and reads what it wrote; puts logging back afterwards."""
    root, path = logging.getLogger(), tmp_path / "log"
    before, level = list(root.handlers), root.level

    def configure(ignored=(), **settings):
        secrets = {"api_keys": {"cmc_api_key": CANARY}, "influx_token": f"{CANARY}-token"}
        values = {"log_file": path, "ignored_variables": ignored, **secrets, **settings}
        log.configure(Settings.model_validate(values))
        return lambda: path.read_text("utf-8")

    yield configure
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        if isinstance(handler, logging.StreamHandler) and handler.stream is not sys.stdout:
            with suppress(OSError):  # /dev/full
                handler.stream.close()
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


@FORMS
def test_a_secret_in_the_message_is_hidden(logged, form):
    read = logged(log_format=form)
    structlog.get_logger().info(f"asked with {CANARY}")
    assert "asked with ***" in read()
    assert CANARY not in read()


@FORMS
def test_a_secret_in_a_field_is_hidden_however_deep(logged, form):
    read = logged(log_format=form)
    structlog.get_logger().info(
        "asked",
        plain=f"Apikey {CANARY}",
        nested={"headers": [("authorization", f"Apikey {CANARY}")], f"name-{CANARY}": {"deep": (CANARY,)}},
        raw=f"key={CANARY}".encode(),
        members={CANARY},
        error=ValueError(CANARY),
        wrapped=SecretStr(CANARY),
        **{f"field-{CANARY}": 1},
    )
    assert "Apikey ***" in read()
    assert CANARY not in read()


@FORMS
def test_a_secret_bound_to_a_logger_or_its_context_is_hidden(logged, form):
    read = logged(log_format=form)
    with structlog.contextvars.bound_contextvars(context=CANARY):
        structlog.get_logger().bind(bound=CANARY).warning("asked")
    assert read().count(HIDDEN) == 2
    assert CANARY not in read()


def raise_with_a_secret() -> None:
    headers = {"X-CMC_PRO_API_KEY": CANARY}
    try:
        raise ValueError(f"refused {CANARY}")
    except ValueError as exc:
        raise RuntimeError(f"gave up on {list(headers.values())}") from exc


@FORMS
def test_a_secret_in_a_traceback_or_its_variables_is_hidden(logged, form):
    read = logged(log_format=form)
    try:
        raise_with_a_secret()
    except RuntimeError:
        structlog.get_logger().exception("crashed")
        logging.getLogger("other").exception("crashed too")
    assert read().count("Traceback") == 4
    assert read().count("refused ***") == 2
    assert read().count("in raise_with_a_secret") == 4
    assert CANARY not in read()


@FORMS
def test_a_secret_in_another_librarys_record_is_hidden(logged, form):
    read = logged(log_format=form)
    logging.getLogger("other").warning("sent %s and %r", CANARY, {"key": CANARY}, extra={"more": [CANARY]})
    assert "sent *** and {'key': '***'}" in read()
    assert CANARY not in read()


@FORMS
async def test_httpx_logs_no_address_and_no_secret(logged, form):
    read = logged(log_format=form, log_level="debug")
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    async with httpx.AsyncClient(transport=transport) as client:
        await client.get(f"https://api.example/?key={CANARY}", headers={"key": CANARY})
    logging.getLogger("httpx").warning("slow: https://api.example/?key=%s", CANARY)
    assert read().count("api.example") == 1
    assert CANARY not in read()


@FORMS
def test_a_secret_that_begins_with_another_is_hidden_whole(logged, form):
    read = logged(log_format=form)
    structlog.get_logger().info(f"token {CANARY}-token")
    assert "token ***" in read()
    assert "***-token" not in read()


def test_without_secrets_nothing_is_hidden():
    event = {"event": "tick", "assets": 5, "late": False, "why": None, "took": 0.5, "reasons": {"gone": 1}}
    assert Redaction([""]).value(event) == event


@FORMS
@pytest.mark.parametrize("secret", ['quote"and\\backslash', "with/slash+plus==", "it's"])
def test_a_secret_is_hidden_in_the_forms_that_text_gives_it(logged, form, secret):
    read = logged(log_format=form, influx_token=secret)
    structlog.get_logger().info("asked", shown=repr(secret), url=f"?key={quote(secret, '')}", body=json.dumps(secret))
    assert read().count(HIDDEN) == 3


@FORMS
def test_a_log_that_cannot_be_written_shows_no_event_on_stderr(logged, capsys, form):
    logged(log_format=form, log_file="/dev/full")
    try:
        raise_with_a_secret()
    except RuntimeError:
        structlog.get_logger("lib.store").exception(f"the store said {CANARY}")
        logging.getLogger("other").exception("it said %s", CANARY)
    out, err = capsys.readouterr()
    line = "log: an event of {} cannot be written: OSError No space left on device"
    assert err.splitlines() == [line.format("lib.store"), line.format("other")]
    assert out == ""


def test_an_event_that_cannot_be_rendered_shows_no_event_on_stderr(logged, capsys):
    class Unreadable:
        def __str__(self) -> str:
            raise ValueError(f"no text of {CANARY}")

    logged()
    structlog.get_logger("lib.store").info("said", what=Unreadable())
    assert capsys.readouterr().err == "log: an event of lib.store cannot be written: ValueError \n"


@pytest.mark.parametrize("broken", ["closed", "none"])
def test_a_process_with_stdout_and_stderr_closed_goes_on(logged, capsys, broken):
    logged(log_file="/dev/full")
    before = sys.stderr
    sys.stderr = None if broken == "none" else open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr:
        sys.stderr.close()
    try:
        structlog.get_logger().info(CANARY)
    finally:
        sys.stderr = before
    assert capsys.readouterr() == ("", "")


def test_variables_of_kubernetes_that_are_ignored_are_logged(logged):
    read = logged(log_format="json", ignored=("TOPCOINS_SERVICE_HOST",))
    (event,) = (json.loads(line) for line in read().splitlines())
    assert (event["level"], event["names"]) == ("warning", ["TOPCOINS_SERVICE_HOST"])


def test_json_is_one_object_a_line_with_level_logger_and_time(logged):
    read = logged(log_format="json")
    structlog.get_logger("lib.ingest").info("tick", assets=5, rejected={"usd is not above 0": 2})
    logging.getLogger("uvicorn.error").warning("started\nhere")
    first, second = (json.loads(line) for line in read().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "tick",
        "assets": 5,
        "rejected": {"usd is not above 0": 2},
        "level": "info",
        "logger": "lib.ingest",
    }
    assert (second["event"], second["level"], second["logger"]) == ("started\nhere", "warning", "uvicorn.error")


@pytest.mark.parametrize(
    ("level", "kept"),
    [
        ("debug", "debug info warning error"),
        ("info", "info warning error"),
        ("warning", "warning error"),
        ("error", "error"),
    ],
)
def test_what_is_below_the_level_is_left_out(logged, level, kept):
    read = logged(log_format="json", log_level=level)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("ours")
        getattr(logging.getLogger("other"), name)("theirs")
    found = [(line["event"], line["level"]) for line in map(json.loads, read().splitlines())]
    assert found == [(whose, name) for name in kept.split() for whose in ("ours", "theirs")]


@pytest.mark.parametrize("name", ["httpx", "httpcore", "apscheduler", "stamina"])
def test_a_chatty_library_is_heard_from_warning_on(logged, name):
    read = logged(log_format="json", log_level="debug")
    logging.getLogger(name).info("step")
    logging.getLogger(name).warning("trouble")
    assert [json.loads(line)["event"] for line in read().splitlines()] == ["trouble"]


def test_each_service_writes_to_the_file_of_its_own_table(logged, tmp_path):
    config = tmp_path / "topcoins.toml"
    tables = [f'[{name}]\nlog_file = "{tmp_path / name}.log"\n' for name in ("ingest_price", "ingest_rank")]
    config.write_text("".join(tables))
    for name in ("ingest_price", "ingest_rank"):
        logged(log_file=load({"TOPCOINS_CONFIG": str(config)}, name).log_file)
        structlog.get_logger().info(f"I am {name}")
        logging.getLogger().handlers[0].stream.close()  # type: ignore[attr-defined]
    for name in ("ingest_price", "ingest_rank"):
        assert [json.loads(line)["event"] for line in (tmp_path / f"{name}.log").read_text().splitlines()] == [
            f"I am {name}"
        ]


@pytest.mark.parametrize("hangup", [True, False])
def test_a_log_file_that_was_moved_away_is_opened_again(logged, tmp_path, hangup):
    read = logged()
    structlog.get_logger().info("earlier")
    (tmp_path / "log").rename(tmp_path / "log.1")
    if hangup:
        log.reopen()
        assert read() == ""
    structlog.get_logger().info("later")
    assert "later" in read()
    assert "later" not in (tmp_path / "log.1").read_text()


def test_a_log_file_that_cannot_be_opened_again_costs_no_event_its_work(logged, tmp_path, capsys):
    folder = tmp_path / "logs"
    folder.mkdir()
    logged(log_file=folder / "log")
    (folder / "log").unlink()
    folder.rmdir()
    structlog.get_logger("lib.store").info("tick")
    log.reopen()
    assert "log: an event of lib.store cannot be written: FileNotFoundError" in capsys.readouterr().err
    folder.mkdir()
    structlog.get_logger().info("later")
    assert "later" in (folder / "log").read_text()


def test_many_lines_of_one_kind_are_ten_and_a_count(logged):
    read = logged(log_format="json")
    for number in range(1000):
        structlog.get_logger().warning("refused", number=number)
    (limit,) = logging.getLogger().handlers[-1].filters
    assert isinstance(limit, LineLimit)
    limit.flush()
    *lines, count = map(json.loads, read().splitlines())
    assert len(lines) == 10
    assert {name: count[name] for name in ("kind", "lines", "level")} == {
        "kind": "refused",
        "lines": 990,
        "level": "warning",
    }


def test_a_log_file_is_appended_to(logged, tmp_path):
    (tmp_path / "log").write_text("earlier\n")
    read = logged()
    structlog.get_logger().info("later")
    assert read().startswith("earlier\n")
    assert "later" in read()


def test_without_a_file_the_log_goes_to_stdout_as_json_where_no_terminal_is(logged, capsys):
    logged(log_file=None)
    structlog.get_logger().info("tick")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["event"] == "tick"
    assert printed.err == ""


def test_a_log_file_that_cannot_be_written_is_one_sentence(logged, tmp_path):
    with pytest.raises(SettingsRejected, match=r"TOPCOINS_LOG_FILE .*No such file or directory; for example /var/log"):
        logged(log_file=tmp_path / "none" / "log")
