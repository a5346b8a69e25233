"""The pages against the repository: links, anchors, files, commands, settings, parameters, fields."""

import importlib
import importlib.util
import re
import shlex
import subprocess
import tomllib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import yaml
from pydantic import BaseModel, ByteSize
from typer.core import TyperGroup
from typer.main import get_command

from ingest_price.source import plan as price_plan
from lib.archive.imports import _TAKEN
from lib.cli.app import app
from lib.columns import COLUMNS
from lib.ingest.delivery import WriteThrough
from lib.ingest.missed import Cause
from lib.ingest.service import ingests
from lib.ingest.sources import ServiceSources
from lib.schema import ID, MARKER_UNITS, OWN, TIER
from lib.settings import Settings, load
from lib.source import read_source
from lib.source.id_tables import Contracts, Ids
from lib.source.model import (
    Action,
    Budget,
    Daily,
    Errors,
    Key,
    Pace,
    Paging,
    Quota,
    Records,
    Request,
    SourceFile,
)
from lib.units import format_duration
from lib.version import VERSION
from tests.docs.pages import PAGES, REASONS, ROOT, all_blocks, anchors, first_column, links, sections, spans
from tests.fakes import NOON, FakeClock, MemoryStore, Upstream, recorded, says

OPERATING, API, MODEL = (ROOT / "docs" / name for name in ("operating.md", "api.md", "data-model.md"))
BLOCKS = all_blocks()
COMMANDS = [block for block in BLOCKS if block.is_commands]
TOPCOINS = cast(TyperGroup, get_command(app))
NAMES = {page: page.name for page in PAGES}
NO_SETTINGS = {"api_keys", "source_urls", "ignored_variables"}
"""Fields of `Settings` that `load` fills from other names."""


@cache
def operations() -> dict[str, dict[str, str | None]]:
    """Each documented address, its query parameters and their defaults, where the document has them."""
    document = yaml.load((ROOT / "docs" / "oas.yaml").read_bytes(), yaml.CSafeLoader)
    return {
        path: {
            parameter["name"]: str(parameter["schema"]["default"]).lower() if "default" in parameter["schema"] else None
            for parameter in next(iter(methods.values())).get("parameters", [])
            if parameter["in"] == "query"
        }
        for path, methods in document["paths"].items()
    }


def topcoins_commands(text: str) -> list[list[str]]:
    """The arguments of each `topcoins …` in a line of commands."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    starts = [n for n, word in enumerate(words[:-1]) if word == "topcoins" and re.match(r"[-\w]", words[n + 1])]
    ends = [
        next((n for n in range(at, len(words)) if words[n] in ("&&", "||", "|", ";", ">")), len(words)) for at in starts
    ]
    return [words[at + 1 : end] for at, end in zip(starts, ends, strict=True)]


def resolve(arguments: list[str]) -> None:
    """Parse the arguments as the command line does; UsageError when it would refuse them."""
    with TOPCOINS.make_context("topcoins", list(arguments)) as context:
        _, command, rest = TOPCOINS.resolve_command(context, arguments)
        assert command is not None
        command.make_context(arguments[0], rest).close()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 145


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_every_link_and_anchor_leads_somewhere(page):
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    named = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert set(PAGES) - {index} <= named


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_every_file_and_folder_named_exists(page):
    top = {entry.name for entry in ROOT.iterdir()} - {"data"}
    for span in spans(page):
        if re.fullmatch(r"[\w.-]+(?:/[\w.-]*)+", span) and span.partition("/")[0] in top:
            assert (ROOT / span).exists(), span


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_every_block_of_commands_is_shell_and_states_why_where_it_is_not_run(block):
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    privileged = re.search(r"\b(?:docker|sudo|apt|apt-get)\b", block.text)
    match block.words:
        case ("sh",) | ("sh", "serve"):
            assert not privileged
        case ("sh", "parse-only", reason):
            assert reason in REASONS
            assert (reason == "docker") == bool(privileged)
        case _:
            pytest.fail(f"{block}: {' '.join(block.words)}")


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_the_command_line_takes_every_topcoins_command_of_a_block(block):
    for line in block.commands:
        for arguments in topcoins_commands(line):
            resolve(arguments)
        for module in re.findall(r"python -m ([\w.]+)", line):
            assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_the_command_line_has_every_topcoins_command_that_prose_names(page):
    for span in spans(page):
        for name, *arguments in topcoins_commands(span) if span.startswith("topcoins ") else []:
            if name.startswith("-"):
                resolve_option(name)
                continue
            assert name in TOPCOINS.commands, span
            known = {option for parameter in TOPCOINS.commands[name].params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("-")} <= known, span


def resolve_option(name: str) -> None:
    assert name in {option for parameter in TOPCOINS.params for option in parameter.opts}, name


def documented_settings() -> dict[str, str]:
    """Each setting of the table and its default; a row may have several."""
    found: dict[str, str] = {}
    for names, defaults in re.findall(r"(?m)^\| (`[A-Z].*?) \| (.*?) \|", sections(OPERATING)["Settings"]):
        keys = re.findall(r"`(\w+)`", names)
        values = re.sub(r"`", "", defaults).split(", ") if len(keys) > 1 else [defaults.replace("`", "")]
        found |= dict(zip(keys, values * len(keys) if len(values) == 1 else values, strict=True))
    return found


def shown(value: Any) -> str:
    """A default as the table shows it."""
    match value:
        case timedelta():
            seconds = format_duration(value)
            return {"1m": "60s"}.get(seconds, seconds)
        case ByteSize():
            return value.human_readable(separator="").replace(".0", "")
        case Path():
            return f"./{value}"
        case tuple():
            return ",".join(value) or "none"
        case _:
            return str(value or "none")


def test_every_setting_is_documented_and_every_documented_one_is_a_setting():
    own = {name.upper() for name in Settings.model_fields} - {name.upper() for name in NO_SETTINGS}
    files = [read_source(path) for path in ROOT.glob("ingest_*/*.toml")]
    keys = {file.key.setting.upper() for file in files if file.key}
    urls = {file.request.url_setting.upper() for file in files}
    assert set(documented_settings()) == own | keys | urls
    assert "`TOPCOINS_CONFIG`" in sections(OPERATING)["Settings"]


def test_the_table_of_settings_shows_the_defaults():
    documented = documented_settings()
    for name, value in Settings():
        if name in NO_SETTINGS or name == "store_read_url":
            continue
        assert documented[name.upper()] == shown(value), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES.get)
def test_every_setting_a_page_names_is_one(page):
    known = {*documented_settings(), "CONFIG", "SERVICE_HOST", "PORT", "ALERT_WEBHOOK"}
    for name in re.findall(r"\bTOPCOINS_([A-Z_]+[A-Z])\b", page.read_text("utf-8")):
        assert name.startswith("TEST_") or name.removesuffix("_FILE") in known, name


def test_every_address_of_the_api_is_in_the_readme_and_described():
    named = {span for text in ((ROOT / "README.md"), API) for span in spans(text)}
    for path in operations():
        assert path in named or {f"GET {path}", f"POST {path}"} & named, path
        assert path in spans(ROOT / "README.md"), path


def test_the_section_of_an_address_names_its_parameters_and_no_other():
    seen = set()
    for text in sections(API).values():
        for path in re.findall(r"`(?:GET|POST) (/[^`]*)`", text):
            named = operations()[path]
            assert {name for name in named if not re.search(rf"`{name}[`=]", text)} == set(), path
            table = text.partition("| parameter |")[2].partition("\n\n")[0]
            assert set(first_column(table)) <= named.keys(), path
            for name, default in re.findall(r"(?m)^\| `(\w+)` \| (.*?) \|", table):
                assert operations()[path][name] in (None, default.replace("`", "")), (path, name)
            seen.add(path)
    assert {path for path, parameters in operations().items() if parameters} <= seen


def test_the_data_model_has_every_name_of_the_stores_and_no_other():
    pages = sections(MODEL)
    for name, series in OWN.items():
        assert first_column(pages[f"`{name}`"]) == [ID, *series.tags, TIER, *series.fields]
    assert set(first_column(pages["Markers"])) == {"series", "source", "tick", *MARKER_UNITS}


def test_the_data_model_maps_every_column_of_a_list_that_has_another_name_than_its_field():
    section = sections(MODEL)["Names in the archive and in panels"]
    rows = set(re.findall(r"^\| `(\w+)\.(\w+)` \| `(\w+)` \|", section, re.MULTILINE))
    renamed = {(each.series.name, each.field, each.name) for each in COLUMNS if each.series and each.field != each.name}
    assert renamed == {row for row in rows if row[1] != "tick"}
    assert {row[2] for row in rows} <= {*_TAKEN}


async def test_the_further_series_that_is_shown_costs_no_request_beside_the_prices(tmp_path):
    (block,) = (block for block in BLOCKS if block.words == ("toml", "supply.toml"))
    (tmp_path / "supply.toml").write_text(block.text)
    for name in ("price", "supply"):
        (tmp_path / name).mkdir()
    upstream, clock = Upstream(says(recorded("cmc-v3-listings-latest-4-20260619"))), FakeClock()
    environ = {"EXTRA_SOURCES": str(tmp_path / "supply.toml"), "CLOCK_CHECK": "off", "ASSETS": "4"}
    store = MemoryStore(clock)
    chosen = load({f"TOPCOINS_{name}": value for name, value in environ.items()}, "ingest_price")
    sources = ServiceSources(chosen, client=upstream.client, store=store, clock=clock, folder=tmp_path)
    prices, supply = ingests(price_plan, sources, lambda series: WriteThrough(store))
    assert await prices.tick(NOON)
    asked = len(upstream.asked)
    stored = await supply.tick(NOON)
    assert len(upstream.asked) == asked
    assert stored
    assert stored.rows["circulating_supply"][0] == 20_044_984


def tables_of_a_source_file() -> dict[str, set[str]]:
    """The names that each table of a source file may have."""
    parts: dict[str, type[BaseModel]] = {
        "[request]": Request,
        "[key]": Key,
        "[key.quota]": Quota,
        "[paging]": Paging,
        "[records]": Records,
    }
    parts |= {"[errors]": Errors, "[pace]": Pace, "[budget]": Budget, "[daily]": Daily}
    parts |= {"[id]": Ids, "[id.contracts]": Contracts}
    found = {name: set(part.model_fields) for name, part in parts.items()}
    found["[key]"] -= {"quota"}
    found["[id]"] -= {"contracts"}
    found["[errors]"] -= {"actions", "otherwise"}
    found["[errors.actions]"] = {"otherwise"}
    own = set(SourceFile.model_fields) - {name.strip("[]") for name in parts} - {"fields", "units"}
    return {**found, "top level": own | {"extends"}}


def test_the_page_of_sources_has_every_key_and_action_of_a_source_file():
    text = (ROOT / "docs" / "sources.md").read_text("utf-8")
    rows = {name.strip("`"): row for name, row in re.findall(r"(?m)^\| ([^|]+) \| (.*) \|$", text)}
    for table, names in tables_of_a_source_file().items():
        shown = set(re.findall(r"`(\w+)`", rows[table]))
        assert names <= shown, (table, names - shown)
    actions = re.findall(r"(?m)^\| `(\w+)` \|", text.partition("| action | meaning |")[2])
    assert actions == list(get_args(Action))


@pytest.mark.parametrize("name", ["delivery.md", "refusals.md", "api.md"])
def test_every_cause_of_a_gap_is_explained(name):
    causes = set(get_args(Cause))
    assert causes - set(spans(ROOT / "docs" / name)) == set()


EXCERPTS = [block for block in BLOCKS if block.language == "python" and block.words[1:] not in ((), ("pandas",))]


@pytest.mark.parametrize("block", EXCERPTS)
def test_an_excerpt_of_python_is_valid_in_its_module(block):
    exec(block.text, {**vars(importlib.import_module(block.words[1]))})


def test_the_newest_entry_of_the_changelog_is_this_version():
    newest = re.findall(r"(?m)^## .*?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"))[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert newest == project["version"] == VERSION
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / project["license-files"][0]).read_text("utf-8")
