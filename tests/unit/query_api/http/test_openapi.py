"""The OpenAPI document: the committed one is the served one, and agrees with the parser."""

import asyncio
import re
import runpy
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.instants import DURATION, SHAPE, parse_instant
from lib.units import parse_duration
from query_api.http.problems import EXAMPLES
from query_api.middleware.access import PUBLIC_PATHS
from tests.fakes import FakeClock
from tests.unit.query_api.market import MARKET_CAP, NOW, calling, stocked
from tests.unit.test_instants import TEXTS

ROOT = Path(__file__).parents[4]


Document = dict[str, Any]


async def served(**options: Any) -> Document:
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock, **options) as client:
        answer: Document = (await client.get("/openapi.json")).json()
    return answer


@pytest.fixture(scope="module")
def document() -> Document:
    """It takes as long to make as a hundred requests, and no test changes it."""
    return asyncio.run(served())


def operations(document: Document) -> list[dict[str, Any]]:
    """What each address does, by its only method."""
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def described(document: Document) -> dict[str, dict[str, Any]]:
    """The schema of each parameter there is."""
    asked = [each for operation in operations(document) for each in operation.get("parameters", [])]
    return {each["name"]: each["schema"] for each in asked}


def test_the_committed_document_is_the_served_one(document) -> None:
    """When it is not: `uv run python .ci/oas.py`."""
    written = runpy.run_path(str(ROOT / ".ci" / "oas.py"))["written"]
    assert (ROOT / "docs" / "oas.yaml").read_text("utf-8") == written(document)


def test_every_address_has_the_example_answer_of_its_page(document) -> None:
    """When one differs: `uv run python .ci/oas.py`. `tests/docs` compares the page with real answers."""
    oas = runpy.run_path(str(ROOT / ".ci" / "oas.py"))
    assert (ROOT / "query_api" / "http" / "examples.json").read_text("utf-8") == oas["as_json"](oas["documented"]())
    paths = document["paths"]
    for path, methods in paths.items():
        for operation in methods.values():
            contents = operation["responses"]["200"]["content"]
            assert any("example" in content for content in contents.values()), path
            assert "application/json" not in contents or "example" in contents["application/json"], path


def test_every_example_answer_fits_the_schema_of_its_address(document) -> None:
    answers = [op["responses"]["200"]["content"] for path in document["paths"].values() for op in path.values()]
    contents = [content["application/json"] for content in answers if "application/json" in content]
    assert len(contents) >= 10
    for content in contents:
        jsonschema_rs.validate({**content["schema"], "components": document["components"]}, content["example"])


def test_every_address_is_documented_with_the_errors_it_gives(document) -> None:
    paths = document["paths"]
    given_by = {path: set(next(iter(methods.values()))["responses"]) for path, methods in paths.items()}
    needs_access = {path for path, statuses in given_by.items() if {"401", "429"} <= statuses}
    assert needs_access == set(paths) - PUBLIC_PATHS
    given_by = {path: statuses - {"401", "429"} for path, statuses in given_by.items()}
    assert given_by == {
        "/": {"200", "304", "404", "406", "422", "503"},
        "/v1/top": {"200", "304", "404", "406", "422", "503"},
        "/v1/assets": {"200", "304", "422", "503"},
        "/v1/assets/{id}": {"200", "304", "404", "409", "422", "503"},
        "/v1/assets/{id}/history": {"200", "304", "404", "406", "409", "422", "503"},
        "/v1/movers": {"200", "304", "404", "406", "422", "503"},
        "/v1/prices": {"200", "406", "408", "413", "415", "422", "503"},
        "/v1/status": {"200", "422", "503"},
        "/v1/gaps": {"200", "304", "422", "503"},
        "/v1/export": {"200", "422", "503"},
        "/v1/sparklines": {"200", "304", "422", "503"},
        "/v1/stream": {"200", "422", "503"},
        "/healthz": {"200", "422"},
        "/readyz": {"200", "422", "503"},
        "/metrics": {"200", "422"},
    }
    for operation in operations({"paths": paths}):
        for status, response in operation["responses"].items():
            kinds = set(response.get("content", {}))
            assert (kinds == {"application/problem+json"}) == (status >= "400"), (operation["operationId"], status)


def test_every_address_has_a_name_a_tag_and_errors_by_reference(document) -> None:
    names = [operation["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]+", name) and "_v1_" not in name for name in names)
    assert {tag for operation in operations(document) for tag in operation["tags"]} == {
        tag["name"] for tag in document["tags"]
    }
    schemas = [
        content["schema"]
        for operation in operations(document)
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        if status >= "400"
    ]
    assert schemas
    assert all(schema == {"$ref": "#/components/schemas/Problem"} for schema in schemas)


def test_the_document_names_the_two_ways_to_send_a_key_and_the_addresses_without(document) -> None:
    assert {scheme["type"] for scheme in document["components"]["securitySchemes"].values()} == {"http", "apiKey"}
    free = {path for path, methods in document["paths"].items() if methods.get("get", {}).get("security") == []}
    assert free == PUBLIC_PATHS & document["paths"].keys()


def test_every_parameter_has_a_schema_that_takes_its_example(document) -> None:
    schemas = described(document)
    assert set(schemas) == set(EXAMPLES)
    for name, schema in schemas.items():
        if schema["type"] == "string":
            assert re.search(schema["pattern"], EXAMPLES[name])


async def test_a_deployment_s_extra_columns_are_in_its_document() -> None:
    columns = described(await served(extras=[MARKET_CAP]))["columns"]
    assert re.search(columns["pattern"], "rank, market_cap_usd,supply")
    assert "market_cap_usd, supply" in columns["description"]


@given(TEXTS)
def test_every_instant_that_is_understood_has_the_documented_shape(text: str) -> None:
    with suppress(ValueError):
        parse_instant(text, NOW)
        assert re.search(SHAPE, text.strip())


@given(st.one_of(st.text("0123456789.smhdw", max_size=20), st.from_regex(rf"\A{DURATION}\Z")))
def test_a_duration_has_the_documented_shape_and_what_has_it_is_one(text: str) -> None:
    if re.fullmatch(DURATION, text):
        with suppress(ValueError):  # longer than the largest timedelta
            assert parse_duration(text) >= timedelta()
    else:
        with pytest.raises(ValueError, match="is not a duration"):
            parse_duration(text)
