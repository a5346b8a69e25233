"""A key in a wrong setting or command line is in no output. The walk finds new settings and commands by itself."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.unit import misplaced

pytestmark = pytest.mark.slow

KEY = "CG-a8ZcW3vQhT5rJ7mKpN2xYs4L"
ROOT = Path(__file__).parents[2]


def walked(what: str, folder: Path) -> Counter[str]:
    """What the walk reports, how often, after its output has been searched for the key."""
    seen, report = os.pipe()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    walk = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.misplaced", what, KEY, str(report)],
        cwd=folder, env=environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, pass_fds=[report],
    )  # fmt: skip
    os.close(report)
    output, _ = walk.communicate(timeout=300)
    with open(seen, encoding="utf-8") as file:
        lines = file.read().splitlines()
    assert walk.returncode == 0, output[-3000:]
    assert not [line for line in output.splitlines() if KEY.lower() in line.lower()]
    return Counter(lines)


def test_a_key_in_any_setting_is_in_no_output_of_the_services_and_doctor(tmp_path):
    report = walked("settings", tmp_path)
    assert {line.partition(" ")[0] for line in report} == set(misplaced.names())
    used = {line.partition(" ")[0] for line in report if line.endswith(" used")}
    assert used >= {
        "spool_dir",
        "http_host",
        "store_url",
        "archive_url",
        "cmc_url",
        "log_file",
        "id_table",
        "price_source",
    }


def test_a_key_in_any_command_line_is_in_no_output(tmp_path):
    report = walked("commands", tmp_path)
    named = {line.split(" ")[0] for line in report}
    assert named - {KEY, f"--{KEY}"} == set(misplaced.commands_with_values())
