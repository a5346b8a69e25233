"""The top list's response: its bytes, its headers, and how long a copy may be kept."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request
from starlette.responses import Response

from query_api.asof.filters import NO_FILTERS, Filters
from query_api.asof.top_list import TopList
from query_api.http.caching import cache_control_of, conditional_response, strong_etag, weak_etag
from query_api.http.content_type import MEDIA_TYPES, Format
from query_api.http.formats import to_csv, to_json
from query_api.http.headers import list_headers
from query_api.http.responses import TOP_RESPONSES, Responses

ROOT_RESPONSES: Responses = {
    **TOP_RESPONSES,
    200: {
        **TOP_RESPONSES[200],
        "content": {**TOP_RESPONSES[200]["content"], "text/html": {"schema": {"type": "string"}}},
        "description": "The list, as JSON or CSV; the page for callers that prefer HTML",
    },
}


@dataclass(frozen=True, slots=True)
class TopParameters:
    """The parameters of a top list, all valid. `depends_on_now` if the instant moves with the clock."""

    at: datetime
    depends_on_now: bool
    limit: int
    max_age: timedelta
    format: Format
    columns: tuple[str, ...] | None
    known_at: datetime | None = None
    filters: Filters = NO_FILTERS


async def top_response(
    request: Request, parameters: TopParameters, top: TopList, *, now: datetime, sent: datetime
) -> Response:
    """The response to a request that came at `now` and is answered at `sent`."""
    if parameters.format == "json":
        body = await asyncio.to_thread(to_json, top, parameters.limit)
    else:
        body = await asyncio.to_thread(to_csv, top, parameters.columns)
    headers = {
        "etag": _etag(parameters, top, body),
        "cache-control": cache_control_of(
            [top],
            depends_on_now=parameters.depends_on_now,
            known_at=parameters.known_at,
            max_age=parameters.max_age,
            now=now,
            sent=sent,
        ),
        "vary": "Accept",
    }
    if parameters.format != "json":  # JSON says the same in its body
        headers |= list_headers(top)
    return conditional_response(request, body, headers, MEDIA_TYPES[parameters.format])


def _etag(parameters: TopParameters, top: TopList, body: bytes) -> str:
    if not parameters.depends_on_now:
        return strong_etag(body)
    price, rank = top.pair.price, top.pair.rank
    basis = (price.tick, price.hash, rank.tick, rank.hash, top.known_at, top.resolution, top.extras)
    return weak_etag(basis, parameters.limit, parameters.format, parameters.columns, parameters.filters)
