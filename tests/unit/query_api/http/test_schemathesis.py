"""The running API against its own OpenAPI document, by all of schemathesis's checks."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import load_all_checks
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from query_api.app import create_app
from tests.examples import examples
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NO_SPOOLS, NOW, stocked

BEYOND_A_SCHEMA = (
    "is in the future",
    "is outside the calendar",
    "is no instant: ",  # it has the shape of one, but its month has no such day
    "must be above 0",
    "is too long a duration",
    "is for the other formats",
    "names a column twice",
    "lies after `to`",
    "lies before 1970",
    "lies more than",
    "must be at least 1m and at most 366d",
    "names an id twice",
    "must be from 1s to 7d",
)
"""Why a value of the right shape is refused; the JSON schema of one parameter can't express any of these."""


REPEATABLE = settings(
    max_examples=examples(10), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
ROOT = Path(__file__).parents[4]

load_all_checks()


@cache  # to read it takes as long as twenty requests
def served() -> BaseSchema:
    clock = FakeClock(NOW)
    app = create_app(stocked(clock), clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS)
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def addresses() -> list[str]:
    """Those of the committed document; one without an end is left out."""
    documented = yaml.load((ROOT / "docs" / "oas.yaml").read_bytes(), Loader=yaml.CSafeLoader)["paths"]
    return [path for path in documented if path != "/v1/stream"]


WAYS = list(HypothesisTestMode)
if examples(100) < 100:  # this one tries each kind of value of each parameter
    WAYS.remove(HypothesisTestMode.COVERAGE)


# Not by schemathesis's own parametrize: it makes all cases when they are collected, in each worker.
@pytest.mark.parametrize("path", addresses())
def test_whatever_is_asked_the_api_keeps_what_its_document_promises(path):
    ask(path, list(GenerationMode), WAYS)


@pytest.mark.parametrize("path", addresses())
def test_what_its_document_allows_the_api_answers_as_promised(path):
    ask(path, [GenerationMode.POSITIVE], [HypothesisTestMode.FUZZING])  # the other ways were gone above


def ask(path: str, modes: list[GenerationMode], ways: list[HypothesisTestMode]) -> None:
    document = served()
    document.config.generation.update(modes=modes)
    config = HypothesisTestConfig(document.config, ways, explicit_settings=REPEATABLE)
    (method,) = document[path]
    create_test(operation=document[path][method], test_func=keep_promises, config=config)()


def keep_promises(case: Case[Any]) -> None:
    response = case.call()
    excluded: list[Any] = [positive_data_acceptance] if refused_beyond_the_schema(response) else []
    case.validate_response(response, excluded_checks=excluded)


def refused_beyond_the_schema(response: Response) -> bool:
    return response.status_code == 422 and any(why in response.json()["detail"] for why in BEYOND_A_SCHEMA)
