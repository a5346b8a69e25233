"""The version is that of the project, wherever it is shown."""

import tomllib
from pathlib import Path

import yaml
from typer.testing import CliRunner

from lib.cli.app import app
from lib.version import VERSION

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_one_the_project_sets():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION


def test_the_command_prints_the_version():
    ran = CliRunner().invoke(app, ["--version"])
    assert (ran.exit_code, ran.stdout) == (0, f"topcoins {VERSION}\n")


def test_the_document_of_the_api_has_the_version():
    document = yaml.load((ROOT / "docs" / "oas.yaml").read_bytes(), yaml.CSafeLoader)
    assert document["info"]["version"] == VERSION
