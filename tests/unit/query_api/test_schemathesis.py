"""The running API against its own OpenAPI document, by all of schemathesis's checks."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode, Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

from query_api.app import create_app
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NO_SPOOLS, NOW, stocked

BEYOND_A_SCHEMA = (
    "is in the future",
    "is outside the calendar",
    "is no instant: ",  # it has the shape of one, but its month has no such day
    "must be above 0 and at most 24h",
    "is too long a duration",
    "is for CSV only",
    "names a column twice",
    "lies after `to`",
    "lies more than",
    "must be at least 1m and at most 366d",
    "names an id twice",
    "must be from 1s to 7d",
)
"""Why a value of the right shape is refused all the same; the JSON schema of one parameter can't say any of these."""


def document(*modes: GenerationMode):
    clock = FakeClock(NOW)
    app = create_app(stocked(clock), clock=clock, max_skew=MINUTE, max_age=MAX_AGE, spools=NO_SPOOLS)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.generation.update(modes=list(modes))
    return schema.exclude(path="/v1/stream")  # never ends by itself


anything = document(*GenerationMode)
allowed = document(GenerationMode.POSITIVE)
repeatable = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@anything.parametrize()
@repeatable
def test_whatever_is_asked_the_api_keeps_what_its_document_promises(case):
    keep_promises(case)


@allowed.parametrize()
@repeatable
def test_what_its_document_allows_the_api_answers_as_promised(case):
    keep_promises(case)


def keep_promises(case: Case[Any]) -> None:
    response = case.call()
    excluded: list[Any] = [positive_data_acceptance] if refused_beyond_the_schema(response) else []
    case.validate_response(response, excluded_checks=excluded)


def refused_beyond_the_schema(response: Response) -> bool:
    return response.status_code == 422 and any(why in response.json()["detail"] for why in BEYOND_A_SCHEMA)
