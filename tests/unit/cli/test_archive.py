"""`topcoins archive` where there is nothing to do."""

import pytest
import structlog
from typer.testing import CliRunner

from lib.cli.app import app


@pytest.mark.parametrize(
    ("command", "words"), [("verify", "no day is sealed in "), ("seal", "no closed day waits to be sealed in ")]
)
def test_an_archive_without_a_day_to_work_on_says_so(tmp_path, command, words):
    own = {
        "TOPCOINS_STORE_URL": f"sqlite:///{tmp_path / 't.db'}",
        "TOPCOINS_SPOOL_DIR": str(tmp_path / "spool"),
        "TOPCOINS_ARCHIVE_URL": str(tmp_path / "archive"),
    }
    with structlog.testing.capture_logs():
        ended = CliRunner().invoke(app, ["archive", command], env=own)
    assert ended.exit_code == 0
    assert ended.stdout.startswith(words)
    assert ended.stdout.endswith("archive\n")
