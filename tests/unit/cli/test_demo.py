"""The demo's history: every list of it has a list a day and a week before."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lib.cli.app import app
from lib.cli.demo import Demo, print_addresses
from lib.clock import DAY, HOUR, MINUTE

FIRST = datetime(2026, 11, 17, 14, 37, 12, tzinfo=UTC)


@pytest.mark.parametrize(("history", "earliest"), [(DAY, 8 * DAY), (20 * MINUTE, 20 * MINUTE)])
def test_each_list_of_a_day_or_more_has_lists_a_day_and_a_week_before_within_the_usual_age(history, earliest):
    demo = Demo(assets=1, history=history, port=1, safe_port=2, data=None, once=False)
    fills = demo.fills(Path("source.toml"), Path("data"), FIRST, FIRST)
    ticks = sorted(tick for fill in fills for tick in fill.ticks())
    assert len(ticks) == len(set(ticks))
    assert timedelta() <= ticks[0] - (FIRST - earliest) + 10 * MINUTE < HOUR
    for at in ticks[::97] if history >= DAY else []:
        for span in (DAY, 7 * DAY):
            before = [tick for tick in ticks if timedelta() <= at - span - tick <= 10 * MINUTE]
            assert before or at < FIRST - history


@pytest.mark.parametrize("setting", ["TOPCOINS_HTTP_PORT", "TOPCOINS_HTTP_SAFE_PORT"])
def test_the_ports_are_those_of_the_settings(setting):
    refused = CliRunner().invoke(app, ["demo"], env={setting: "70000"})
    assert (refused.exit_code, setting in refused.output) == (2, True)


@pytest.mark.parametrize(("port", "why"), [(6667, " (browsers refuse port 6667)"), (16667, "")])
def test_only_the_port_that_browsers_refuse_is_said_to_be_refused(port, why):
    out = io.StringIO()
    print_addresses(Console(file=out), "127.0.0.1", port, 8667, FIRST)
    assert f"\n  topcoins top --limit 20 --url http://localhost:{port}\n" in out.getvalue()
    assert out.getvalue().endswith(f"/localhost:8667 in a browser{why}\n")
