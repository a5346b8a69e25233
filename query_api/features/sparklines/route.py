"""`/v1/sparklines`: the prices of many assets at a few instants."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from lib.clock import SECOND
from lib.schema import LARGEST_ID
from lib.text import is_digits
from query_api.asof.tick_pairs import were_known
from query_api.features.sparklines.work import Sparklines, SparklinesAnswer
from query_api.http import parameters
from query_api.http.caching import WRITE_TIMEOUT, all_final, cache_control, conditional_response
from query_api.http.client import client_of
from query_api.http.problems import BadRequest
from query_api.http.responses import CACHEABLE_RESPONSES, Responses
from query_api.http.routing import get_and_head
from query_api.middleware.answer_cache import keep_this_second
from query_api.services import Services

MOST = 500
LONGEST = timedelta(days=7)

Ids = Annotated[
    str,
    parameters.text_query(
        "ids",
        f"CoinMarketCap ids, at most {MOST}",
        f"^[1-9][0-9]{{0,6}}(?:,[1-9][0-9]{{0,6}}){{0,{MOST - 1}}}$",
        8 * MOST,
    ),
]
Span = Annotated[parameters.OptionalText, parameters.duration_query("span", "How far back from `to`, at most 7d; 24h")]
_SHOWN: Responses = {200: {"model": SparklinesAnswer, "description": "Each asset's prices"}, **CACHEABLE_RESPONSES}


def install(app: FastAPI, services: Services) -> None:
    """The prices beside a list."""
    finder = Sparklines(services)

    async def sparklines(
        request: Request,
        ids: Ids,
        to: parameters.Instant = None,
        span: Span = None,
        points: Annotated[int, Query(ge=2, le=96, description="Into how many steps the span is cut")] = 48,
        ranks: Annotated[bool, Query(description="Whether to add the source's ranks")] = False,
    ) -> Response:
        """The prices of `ids` in the lists of a few instants up to `to`, null in a gap and where one is not listed."""
        now = services.clock()
        stop = parameters.parse_bound(to, now, "to")
        start = max(
            stop
            - parameters.parse_span("span", "24h" if span is None else span, "must be from 1s to 7d", SECOND, LONGEST),
            parameters.EPOCH,
        )
        numbers = parse_ids(ids)

        async def work() -> tuple[bytes, bool]:
            with services.long_work.request(client_of(request.scope)):
                answer, pairs = await finder.find(numbers, start, stop, points, ranks=ranks)
                body = await services.long_work.in_thread(lambda: to_json(answer))
                final = all_final(answer.at, pairs, max_age=services.max_age, now=now)
                return body, final and were_known((each[0] for each in pairs if each), now - WRITE_TIMEOUT)

        question = ("sparklines", *numbers, start, stop, points, ranks)
        body, final = await services.single_flight.share(question, work)
        keep_this_second(request.scope, now)
        headers = {"cache-control": cache_control(final and not parameters.depends_on_now(to))}
        return conditional_response(request, body, headers, "application/json")

    summary = "Prices of many assets at a few instants"
    get_and_head(app, "/v1/sparklines", sparklines, summary=summary, responses=_SHOWN)


def to_json(answer: SparklinesAnswer) -> bytes:
    """The answer's bytes."""
    return answer.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"


def parse_ids(text: str) -> list[int]:
    """The `ids` parameter."""
    parts = text.split(",")
    if not all(is_digits(part) and 0 < int(part) <= LARGEST_ID for part in parts):
        raise BadRequest("ids", text, f"must be whole numbers from 1 to {LARGEST_ID}, commas between")
    if len(parts) > MOST:
        raise BadRequest("ids", text, f"names {len(parts)}: at most {MOST} may be asked for at once")
    if len(set(map(int, parts))) < len(parts):
        raise BadRequest("ids", text, "names an id twice")
    return [int(part) for part in parts]
