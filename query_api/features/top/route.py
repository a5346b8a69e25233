"""`/` and `/v1/top`: the top list as of an instant."""

import asyncio

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from lib import columns as declared
from query_api.asof.top_list import TopList
from query_api.http import parameters
from query_api.http.caching import cache_control_of, conditional_response, header_list, weak_etag
from query_api.http.content_type import MEDIA_TYPES, choose_format, prefers_html
from query_api.http.filter_parameters import Filtering
from query_api.http.formats import to_csv, to_json
from query_api.http.headers import list_headers
from query_api.http.responses import TOP_RESPONSES, Responses
from query_api.http.routing import get_and_head
from query_api.middleware.answer_cache import keep_this_second
from query_api.page import Page
from query_api.page.route import document
from query_api.services import Services

ROOT_RESPONSES: Responses = {
    **TOP_RESPONSES,
    200: {
        **TOP_RESPONSES[200],
        "content": {**TOP_RESPONSES[200]["content"], "text/html": {"schema": {"type": "string"}}},
        "description": "The list, as JSON or CSV; the page for callers that prefer HTML",
    },
}


def install(app: FastAPI, services: Services, page: Page) -> None:
    """The list at both of its addresses; at `/` a browser gets the page."""
    known = declared.names((*declared.COLUMNS, *declared.extra_columns(services.extras)))
    one = f" *(?:{'|'.join(known)}) *"
    which = Query(
        default=None,
        description=f"For CSV: which of {', '.join(known)}",
        max_length=4096,
        json_schema_extra={"pattern": f"^{one}(?:,{one})*$"},
    )

    async def top(
        request: Request,
        filters: Filtering,
        limit: parameters.Limit = 200,
        datetime: parameters.Instant = None,
        format: parameters.FormatName = None,
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        columns: parameters.OptionalText = which,
    ) -> Response:
        """The top `limit` assets by 24h volume as of `datetime`, with USD prices."""
        accept = header_list(request, "accept")
        if request.url.path == "/" and prefers_html(format, accept):
            return document(request, page)
        now = services.clock()
        chosen = choose_format(format, accept)
        as_of = parameters.parse_as_of(
            datetime, max_age=max_age, known_at=known_at, now=now, default_age=services.max_age
        )
        at, shown_columns = parameters.parse_datetime(datetime, now), parameters.parse_columns(columns, chosen, known)
        found = await services.top(at, limit=limit, max_age=as_of.max_age, known_at=as_of.known_at, filters=filters)
        keep_this_second(request.scope, now)
        if chosen == "json":
            body = await asyncio.to_thread(to_json, found, limit)
        else:
            body = await asyncio.to_thread(to_csv, found, shown_columns)
        headers = {"cache-control": cache_control_of([found], as_of, sent=services.clock()), "vary": "Accept"}
        if as_of.depends_on_now:
            headers["etag"] = weak_etag(_basis(found), limit, chosen, shown_columns, filters)
        if chosen != "json":  # JSON says the same in its body
            headers |= list_headers(found)
        return conditional_response(request, body, headers, MEDIA_TYPES[chosen])

    for path, name, responses in (("/", "top", ROOT_RESPONSES), ("/v1/top", "top_v1", TOP_RESPONSES)):
        get_and_head(app, path, top, operation_id=name, summary="The top list", responses=responses)


def _basis(top: TopList) -> tuple[object, ...]:
    """What the list is made from."""
    price, rank = top.pair.price, top.pair.rank
    return (price.tick, price.hash, rank.tick, rank.hash, top.known_at, top.resolution, top.extras)
