"""Errors as RFC 9457 `application/problem+json`, by one table from error class to response."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lib import instants
from lib.clock import isoformat
from lib.errors import Busy, Malformed, Rejected, TopcoinsError, Unavailable
from lib.invalid import why_invalid
from query_api.asof.absence import NoSnapshot
from query_api.asof.asset import AmbiguousTicker, NoAsset
from query_api.http.json_line import json_line

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 10


class BadRequest(TopcoinsError):
    """A parameter is wrong. Names it, its value and a valid example."""

    def __init__(self, parameter: str, value: object, why: str, example: str | None = None) -> None:
        shown = str(value)[:200]
        example = EXAMPLES.get(parameter, "") if example is None else example
        super().__init__(f"{parameter}={shown}: {why}")
        self.fields = {"parameter": parameter, "value": shown, "example": example}


class TooManyListeners(TopcoinsError):
    """The number of a stream's listeners is at its limit, or the service is stopping."""


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
    "by": "symbol",
    "names": "true",
    "exclude": "stablecoins,wrapped",
    "max_volume_to_cap": "0.5",
    "symbols": "BTC,ETH",
    "ids": "1,1027",
    "columns": "rank,cmc_id,symbol,price_usd",
    "sort": "-market_cap_usd",
    "more": "market_cap_usd,change_24h_pct",
    "q": "luna",
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
    408: "The request is too slow",
    409: "Several assets have this ticker",
    413: "The body is too long",
    415: "Unsupported encoding",
    416: "No such range",
    422: "Bad parameter",
    429: "Too many requests",
    500: "Internal error",
    503: "The store is unavailable",
}


class Problem(BaseModel):
    """An error as in RFC 9457; some errors have further fields."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def problem(status: int, detail: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> Response:
    """A problem response; `fields` follow the standard four, and may replace the title."""
    body = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail, **fields}
    return Response(
        json_line(body), status, headers={"cache-control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE
    )


def install(app: FastAPI, store_failed: Callable[[TopcoinsError], None]) -> None:
    """Answer every error of an app as a problem. `store_failed` gets those of the store."""
    app.state.store_failed = store_failed
    app.add_exception_handler(TopcoinsError, _known_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _no_snapshot(exc: NoSnapshot) -> dict[str, Any]:
    before, first = exc.before, exc.first
    times = before and {"price_time": isoformat(before.price.tick), "rank_time": isoformat(before.rank.tick)}
    return {
        "title": "No snapshot",
        "requested_at": isoformat(exc.at),
        "nearest_before": times,
        "first": first and isoformat(first),
        "known_at": isoformat(exc.known_at),
    }


def _no_asset(exc: NoAsset) -> dict[str, Any]:
    """Callers may have asked by name, which only the search finds."""
    search = exc.ticker and f"; to search by name: /v1/assets?q={quote(exc.ticker)}"
    return {"detail": f"{exc}{search or ''}", "known_at": isoformat(exc.known_at)}


_STORE_FIELDS = {"detail": "the store cannot answer now; the log of query_api says why"}
PROBLEMS: Mapping[type[TopcoinsError], tuple[int, Callable[[Any], Mapping[str, Any]]]] = {
    BadRequest: (422, lambda exc: exc.fields),
    NoSnapshot: (404, _no_snapshot),
    NoAsset: (404, _no_asset),
    AmbiguousTicker: (409, lambda exc: {"candidates": exc.candidates}),
    TooManyListeners: (503, lambda exc: {"title": "Too many listeners"}),
    Busy: (503, lambda exc: {"title": "Busy"}),
    Unavailable: (503, lambda exc: _STORE_FIELDS),
    Malformed: (503, lambda exc: _STORE_FIELDS),
    Rejected: (503, lambda exc: _STORE_FIELDS),
}
"""The status of each kind of error, and the fields that its problem has or replaces. The first match counts."""


async def _known_error(request: Request, exc: Exception) -> Response:
    status, fields_of = next((entry for kind, entry in PROBLEMS.items() if isinstance(exc, kind)), (500, lambda _: {}))
    fields = fields_of(exc)
    if fields is _STORE_FIELDS:  # only the operator's log names what is wrong with the store
        request.app.state.store_failed(exc)
    wait = exc.retry_after.total_seconds() if isinstance(exc, Unavailable) and exc.retry_after else RETRY_AFTER_S
    headers = {"retry-after": str(max(1, round(wait)))} if status == 503 else {}
    return problem(status, headers=headers, **{"detail": str(exc), **fields})


async def _invalid(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    error = exc.errors()[0]
    name = str(error["loc"][1])  # more parts follow where a value may have several types
    return await _known_error(request, BadRequest(name, error.get("input", ""), why_invalid(error)))


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    path, allowed = request.scope["path"], (exc.headers or {}).get("Allow", "")
    why = {
        404: f"{path} is no address of this API; /docs lists them, for example /v1/top",
        405: f"{request.method} is not allowed at {path}; allowed is {allowed}",
    }.get(exc.status_code, exc.detail)
    return problem(exc.status_code, why, headers=exc.headers)


async def _unexpected(request: Request, exc: Exception) -> Response:
    return problem(500, "something went wrong; the log of query_api has the traceback")
