"""`/` and `/v1/top`: the top list as of an instant."""

from datetime import timedelta

from fastapi import FastAPI, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import JSONResponse, Response

from query_api.asof.pair import COLUMNS
from query_api.features.top.response import ROOT_RESPONSES
from query_api.http.caching import listed, reply
from query_api.http.content_type import negotiated, prefers_page
from query_api.http.parameters import (
    Filtering,
    FormatName,
    Instant,
    KnownAt,
    Limit,
    MaxAge,
    Question,
    asked_age,
    asked_columns,
    asked_instant,
    asked_known_at,
    moving,
)
from query_api.http.responses import TOP_RESPONSES
from query_api.http.routing import answer
from query_api.middleware.answer_cache import CACHE_UNTIL
from query_api.page import Page
from query_api.page.route import document
from query_api.services import Services

SECOND = timedelta(seconds=1)


def install(app: FastAPI, services: Services, page: Page) -> None:
    """The list at both of its addresses; at `/` a browser gets the page."""
    known = [*COLUMNS, *(field for extra in services.extras for field in extra.fields)]
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
        accept = listed(request, "accept")
        if request.url.path == "/" and prefers_page(format, accept):
            return document(request, page)
        now = services.clock()
        chosen = negotiated(format, accept)
        question = Question(
            at=asked_instant(datetime, now),
            moving=moving(datetime, known_at=known_at),
            limit=limit,
            max_age=services.max_age if max_age is None else asked_age(max_age),
            format=chosen,
            columns=asked_columns(columns, chosen, known),
            known_at=asked_known_at(known_at, now),
            filters=filters,
        )
        found = await services.top(
            question.at,
            limit=limit,
            max_age=question.max_age,
            known_at=question.known_at,
            filters=filters,
        )
        request.scope[CACHE_UNTIL] = now.replace(microsecond=0) + SECOND
        return await reply(request, question, found, now)

    for path, name, responses in (("/", "top", ROOT_RESPONSES), ("/v1/top", "top_v1", TOP_RESPONSES)):
        shown = {"summary": "The top list", "responses": responses, "response_class": JSONResponse}
        answer(app, path, top, operation_id=name, **shown)
