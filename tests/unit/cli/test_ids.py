"""`topcoins ids`: an operator sees what has an id, what has none and why, and what would change."""

import orjson
import pytest
from typer.testing import CliRunner

from lib.cli.app import app
from lib.cli.doctor.providers import check_providers
from lib.errors import SettingsRejected
from lib.ingest.ids.report import FOLDER, write_report
from tests.unit.query_api.market import NOW
from tests.unit.query_api.status.test_providers import COMPARISON, REPORT


@pytest.fixture
def run(tmp_path):
    environ = {"TOPCOINS_SPOOL_DIR": str(tmp_path), "COLUMNS": "200"}
    return lambda *words: CliRunner().invoke(app, ["ids", *words], env=environ)


def test_matches_refusals_and_changes_are_shown(run, tmp_path):
    refused = REPORT.refused[0].model_copy(update={"name": "[red]B"})
    write_report(tmp_path / FOLDER, REPORT.model_copy(update={"refused": [refused]}))
    shown = run().stdout
    assert "870 of 1000 assets have an id: 470 by name, 400 by contract; 124 have no candidate, and 5 no" in shown
    assert "Prices differ by 0.12% in the median from coinmarketcap, 0.4% of 800 by more than 5 %." in shown
    assert "Not shared with coindesk: 7% of the first 100, 10% of the first 250." in shown
    assert "several ids have its symbol and name: 1, 2" in shown
    assert "[red]B" in shown
    assert "c-d" in shown


def test_json_has_the_whole_report_of_one_provider(run, tmp_path):
    write_report(tmp_path / FOLDER, REPORT)
    write_report(tmp_path / FOLDER, REPORT.model_copy(update={"source": "zeta"}))
    assert orjson.loads(run("acme", "--json").stdout) == [REPORT.model_dump(mode="json")]


def test_an_unknown_provider_is_refused_with_those_that_were_read(run, tmp_path):
    write_report(tmp_path / FOLDER, REPORT)
    failure = run("zeta").exception
    assert isinstance(failure, SettingsRejected)
    assert str(failure) == "no list of zeta was read yet; there are: acme"


def test_before_the_first_list_it_says_how_to_get_one(run):
    assert "No provider's ids were matched yet." in run().stderr
    assert "TOPCOINS_CHECK_SOURCE=coinpaprika topcoins up" in run().stderr
    assert "TOPCOINS_CHECK_SOURCE=coinpaprika topcoins up" in str(run("acme").exception)


@pytest.mark.parametrize(
    ("changed", "well"),
    [
        ({}, [True, True]),
        ({"comparison": None}, [True]),
        ({"map_day": "2026-11-12"}, [False, True]),
        ({"map_day": None}, [False, True]),
        ({"comparison": COMPARISON.model_copy(update={"price_off": 0.2})}, [True, False]),
    ],
)
def test_doctor_reports_an_old_map_and_a_provider_that_disagrees(tmp_path, changed, well):
    write_report(tmp_path / FOLDER, REPORT.model_copy(update={"map_day": f"{NOW:%Y-%m-%d}"} | changed))
    findings = list(check_providers(NOW, tmp_path))
    assert [finding.well for finding in findings] == well
    assert findings[0].what == "provider acme as volume_rank"
    assert "870 of 1000 assets have an id" in findings[0].seen
    assert "1 would change: topcoins ids shows them" in findings[0].seen
