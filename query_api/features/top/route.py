"""`/` and `/v1/top`: the top list as of an instant."""

from fastapi import FastAPI, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import JSONResponse, Response

from lib import columns as declared
from query_api.features.top.response import ROOT_RESPONSES, TopParameters, top_response
from query_api.http.caching import header_list
from query_api.http.content_type import choose_format, prefers_html
from query_api.http.filter_parameters import Filtering
from query_api.http.parameters import (
    FormatName,
    Instant,
    KnownAt,
    Limit,
    MaxAge,
    depends_on_now,
    parse_columns,
    parse_datetime,
    parse_known_at,
    parse_max_age,
)
from query_api.http.responses import TOP_RESPONSES
from query_api.http.routing import get_and_head
from query_api.middleware.answer_cache import keep_this_second
from query_api.page import Page
from query_api.page.route import document
from query_api.services import Services


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
        limit: Limit = 200,
        datetime: Instant = None,
        format: FormatName = None,
        max_age: MaxAge = None,
        known_at: KnownAt = None,
        columns: str | SkipJsonSchema[None] = which,
    ) -> Response:
        """The top `limit` assets by 24h volume as of `datetime`, with USD prices."""
        accept = header_list(request, "accept")
        if request.url.path == "/" and prefers_html(format, accept):
            return document(request, page)
        now = services.clock()
        chosen = choose_format(format, accept)
        parameters = TopParameters(
            at=parse_datetime(datetime, now),
            depends_on_now=depends_on_now(datetime, known_at=known_at),
            limit=limit,
            max_age=services.max_age if max_age is None else parse_max_age(max_age),
            format=chosen,
            columns=parse_columns(columns, chosen, known),
            known_at=parse_known_at(known_at, now),
            filters=filters,
        )
        answer = await services.top(
            parameters.at,
            limit=limit,
            max_age=parameters.max_age,
            known_at=parameters.known_at,
            filters=filters,
        )
        keep_this_second(request.scope, now)
        return await top_response(request, parameters, answer, now=now, sent=services.clock())

    for path, name, responses in (("/", "top", ROOT_RESPONSES), ("/v1/top", "top_v1", TOP_RESPONSES)):
        shown = {"summary": "The top list", "responses": responses, "response_class": JSONResponse}
        get_and_head(app, path, top, operation_id=name, **shown)
