"""`/v1/sparklines`: the prices of many assets at a few instants."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import JSONResponse, Response

from lib.instants import DURATION
from lib.schema import LARGEST_ID
from lib.units import format_duration, parse_duration
from query_api.features.sparklines.work import Sparklines, SparklinesAnswer
from query_api.http.caching import conditional_response, strong_etag
from query_api.http.parameters import EPOCH, Instant, parse_bound
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.responses import CACHEABLE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.middleware.answer_cache import keep_this_second
from query_api.services import Services

MOST = 500
LONGEST = timedelta(days=7)
SECOND = timedelta(seconds=1)
SOON_S = 10
"""How long a copy may be kept of an answer whose last snapshots may still come, or which has gaps."""
HOUR_S = 3600

Ids = Annotated[
    str,
    Query(
        description=f"CoinMarketCap ids, at most {MOST}",
        examples=[EXAMPLES["ids"]],
        max_length=8 * MOST,
        json_schema_extra={"pattern": f"^[1-9][0-9]{{0,6}}(?:,[1-9][0-9]{{0,6}}){{0,{MOST - 1}}}$"},
    ),
]
Span = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="How far back from `to`, at most 7d; 24h",
        examples=[EXAMPLES["span"]],
        max_length=32,
        json_schema_extra={"pattern": f"^{DURATION}$"},
    ),
]
_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": SparklinesAnswer, "description": "Each asset's prices"},
    **CACHEABLE_RESPONSES,
}


def install(app: FastAPI, services: Services) -> None:
    """The prices beside a list."""
    lines = Sparklines(services.store, services.max_age)

    async def sparklines(
        request: Request,
        ids: Ids,
        to: Instant = None,
        span: Span = None,
        points: Annotated[int, Query(ge=2, le=96, description="Into how many steps the span is cut")] = 48,
        ranks: Annotated[bool, Query(description="Whether to tell the source's ranks too")] = False,
    ) -> Response:
        """The prices of `ids` as of a few instants up to `to`, null where there is no snapshot."""
        now = services.clock()
        stop = parse_bound(to, now, "to")
        start = max(stop - asked_span(span), EPOCH)
        found = await lines.of(asked_ids(ids), start, stop, points, ranks=ranks)
        keep_this_second(request.scope, now)
        body = found.model_dump_json(by_alias=True, exclude_none=True).encode()
        keep = HOUR_S if settled(stop, services, now) and None not in found.ticks else SOON_S
        headers = {"etag": strong_etag(body), "cache-control": f"public, max-age={keep}"}
        return conditional_response(request, body, headers, "application/json")

    get_and_head(
        app, "/v1/sparklines", sparklines, summary="Prices of many assets at a few instants",
        response_class=JSONResponse, responses=_SHOWN,
    )  # fmt: skip


def settled(at: datetime, services: Services, now: datetime) -> bool:
    """Whether no snapshot of an instant is still on its way."""
    return at < now - services.max_age


def asked_ids(text: str) -> list[int]:
    """The `ids` parameter."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= LARGEST_ID for part in parts):
        raise BadRequest("ids", text, f"must be whole numbers from 1 to {LARGEST_ID}, commas between", EXAMPLES["ids"])
    if len(parts) > MOST:
        raise BadRequest("ids", text, f"names {len(parts)}: at most {MOST} may be asked for at once", EXAMPLES["ids"])
    if len(set(map(int, parts))) < len(parts):
        raise BadRequest("ids", text, "names an id twice", EXAMPLES["ids"])
    return [int(part) for part in parts]


def asked_span(text: str | None) -> timedelta:
    """The `span` parameter."""
    try:
        span = parse_duration("24h" if text is None else text)
    except ValueError as exc:
        raise BadRequest("span", text, str(exc), EXAMPLES["span"]) from exc
    if not SECOND <= span <= LONGEST:
        raise BadRequest("span", text, f"must be from 1s to {format_duration(LONGEST)}", EXAMPLES["span"])
    return span
