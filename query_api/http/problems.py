"""Errors as RFC 9457 `application/problem+json`: one table from error class to status."""

from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lib import instants
from lib.clock import isoformat
from lib.errors import Busy, Malformed, Rejected, TopcoinsError, Unavailable
from query_api.asof.asset import AmbiguousTicker, NoAsset
from query_api.asof.find_pair import NoSnapshot
from query_api.asof.pair import Pair

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 10

log = structlog.get_logger()


class BadRequest(TopcoinsError):
    """A parameter is wrong; names it, its value and a valid example."""

    def __init__(self, parameter: str, value: object, why: str, example: str) -> None:
        shown = str(value)[:200]
        super().__init__(f"{parameter}={shown}: {why}")
        self.fields = {"parameter": parameter, "value": shown, "example": example}


class NotAcceptable(TopcoinsError):
    """The caller accepts nothing we can answer with."""


STATUS: Mapping[type[TopcoinsError], int] = {
    BadRequest: 422,
    NoSnapshot: 404,
    NoAsset: 404,
    AmbiguousTicker: 409,
    NotAcceptable: 406,
    Unavailable: 503,
    Malformed: 503,
    Rejected: 503,
}
EXAMPLES = {
    "limit": "200",
    "datetime": instants.EXAMPLE,
    "known_at": instants.EXAMPLE,
    "from": "now-24h",
    "to": "now",
    "every": "1h",
    "fill": "null",
    "top": "200",
    "format": "csv",
    "max_age": "10m",
    "id": "BTC",
    "exclude": "stablecoins,wrapped",
    "max_volume_to_cap": "0.5",
    "symbols": "BTC,ETH",
    "ids": "1,1027",
    "columns": "rank,cmc_id,symbol,price_usd",
    "span": "24h",
    "points": "48",
    "ranks": "true",
    "last_event_id": "price:1794926220,volume_rank:1794926220",
}
"""A valid value of each parameter."""

TITLES = {
    400: "Bad request",
    401: "A key is needed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Several assets have this ticker",
    422: "Bad parameter",
    429: "Too many requests",
    500: "Internal error",
    503: "The store is away",
}


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Response:
    """A problem response; extra fields follow the standard four."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **fields}
    return Response(
        orjson.dumps(body), status, headers={"cache-control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Answer every error of an app as a problem."""
    app.add_exception_handler(TopcoinsError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, exc: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(exc, kind)), 500)
    if isinstance(exc, BadRequest):
        return problem(status, str(exc), headers=None, **exc.fields)
    if isinstance(exc, NoSnapshot):
        first = isoformat(exc.first) if exc.first else None
        return problem(status, str(exc), title="No snapshot", nearest_before=_told(exc.before), first=first)
    if isinstance(exc, AmbiguousTicker):
        return problem(status, str(exc), candidates=exc.candidates)
    if status != 503:
        return problem(status, str(exc))
    wait = exc.retry_after.total_seconds() if isinstance(exc, Unavailable) and exc.retry_after else RETRY_AFTER_S
    headers = {"retry-after": str(max(1, round(wait)))}
    if isinstance(exc, Busy):
        return problem(status, str(exc), headers=headers, title="Busy")
    # What exactly is wrong with the store is the operator's affair: the log tells it.
    log.error("store failed", why=str(exc), kind=type(exc).__name__)
    detail = "the store can't answer now; the log of query_api tells why"
    return problem(status, detail, headers=headers)


def _told(pair: Pair | None) -> dict[str, str] | None:
    return {"price_time": isoformat(pair.price.tick), "rank_time": isoformat(pair.rank.tick)} if pair else None


async def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    error = exc.errors()[0]
    name = str(error["loc"][1])  # of a value that may be several things, more follows
    value, why = ("", "is required") if error["type"] == "missing" else (error["input"], error["msg"])
    return await _ours(request, BadRequest(name, value, why, EXAMPLES.get(name, "")))


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return problem(exc.status_code, f"{request.url.path}: {exc.detail}", headers=exc.headers)


async def _unexpected(request: Request, exc: Exception) -> Response:
    return problem(500, "something went wrong here; the log of query_api has the traceback")
