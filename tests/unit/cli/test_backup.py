"""`topcoins backup` and `restore`: nothing to copy is no success."""

import pytest
from typer.testing import CliRunner

from lib.cli.app import app
from lib.cli.exit_code import ExitCode, exit_code


@pytest.fixture
def run(tmp_path):
    environ = {"TOPCOINS_STORE_URL": f"sqlite:///{tmp_path / 't.db'}", "TOPCOINS_ARCHIVE_URL": str(tmp_path / "none")}
    return lambda *words: CliRunner().invoke(app, ["backup", str(tmp_path / "copy"), *words], env=environ).exception


def test_a_backup_without_a_day_has_the_exit_code_of_no_data(run):
    failure = run()
    assert exit_code(failure) == ExitCode.NO_DATA
    assert str(failure).startswith("there is no day to copy")


def test_the_first_day_is_an_instant_in_any_form(run):
    assert exit_code(run("--from", "last tuesday")) == ExitCode.NO_DATA
    assert str(run("--from", "someday")).startswith("--from 'someday' is no instant; write for example ")
