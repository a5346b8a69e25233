"""The running API against its own OpenAPI document, by schemathesis: all of its checks."""

from datetime import timedelta

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from query_api.app import create_app
from tests.fakes import FakeClock
from tests.unit.query_api.market import MAX_AGE, MINUTE, NOW, stocked

BEYOND_A_SCHEMA = (
    "is in the future",
    "is outside the calendar",
    "is no instant: ",  # the shape is right, the day is not in the month
    "must be above 0 and at most 24h",
    "is too long a duration",
    "is for CSV only",
    "names a column twice",
)
"""Why a value of the right shape may still be refused; no JSON schema of one parameter can say these."""

CLOCK = FakeClock(NOW + timedelta(milliseconds=1))
schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(stocked(CLOCK), clock=CLOCK, max_skew=MINUTE, max_age=MAX_AGE))


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_what_its_document_promises(case: Case) -> None:
    response = case.call()
    print(case.method, response.request.url, response.status_code)
    case.validate_response(response)
