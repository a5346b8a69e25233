"""What the packages import is declared in pyproject.toml, by the name of the distribution that has it."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

from tests.docs.pages import ROOT

OURS = ("lib", "query_api", "ingest_price", "ingest_rank")
IMPORT = re.compile(r"^ *(?:import|from) +(\w+)", re.MULTILINE)
NAME = re.compile(r"^[\w.-]+")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_distribution_that_is_imported_is_declared():
    files = (path for package in OURS for path in (ROOT / package).rglob("*.py"))
    imported = {name for path in files for name in IMPORT.findall(path.read_text("utf-8"))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(each for some in project["optional-dependencies"].values() for each in some),
    ]
    names = {normal(found[0]) for each in declared if (found := NAME.match(each))}
    of_module = packages_distributions()
    outside = {name for name in imported if name in of_module and name not in (*OURS, *sys.stdlib_module_names)}
    assert "polars" in outside
    assert {name for name in outside if not names & {normal(each) for each in of_module[name]}} == set()
