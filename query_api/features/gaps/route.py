"""`/v1/gaps`: where the archive has holes, and why."""

import asyncio
from datetime import datetime, timedelta

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from lib.gaps import Gap, SeriesGaps, find_gaps
from query_api.http.caching import cache_control, conditional_response
from query_api.http.client import client_of
from query_api.http.parameters import Start, Stop, parse_range
from query_api.http.responses import CACHEABLE_RESPONSES, Responses
from query_api.http.routing import get_and_head
from query_api.middleware.answer_cache import keep_this_second
from query_api.services import Services

LONGEST = timedelta(days=7)


class SeriesGapsAnswer(BaseModel):
    """One series: stored + missing = expected, from its first snapshot on."""

    model_config = ConfigDict(from_attributes=True)

    expected: int
    stored: int
    missing: int
    gaps: list[Gap]


class GapsAnswer(BaseModel):
    """The gaps of every series between two instants."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    series: dict[str, SeriesGapsAnswer]


RESPONSES: Responses = {200: {"model": GapsAnswer, "description": "The gaps of each series"}, **CACHEABLE_RESPONSES}


def install(app: FastAPI, services: Services) -> None:
    """Add the gaps."""

    async def gaps(request: Request, start: Start = None, stop: Stop = None) -> Response:
        """Expected ticks that have no snapshot between two instants, by default the last day, at most a week."""
        now = services.clock()
        first, last = parse_range(start, stop, now, longest=LONGEST)

        async def series_gaps(name: str) -> SeriesGaps:
            return await find_gaps(services.store, name, first, last, now=now, folder=services.spools / name)

        async def work() -> bytes:
            async with services.long_work.single_step(client_of(request.scope)):
                found = await asyncio.gather(*(series_gaps(name) for name in services.series))
                series = dict(zip(services.series, found, strict=True))
                answer = GapsAnswer.model_validate({"start": first, "stop": last, "series": series})
                return await services.long_work.in_thread(
                    lambda: answer.model_dump_json(by_alias=True).encode() + b"\n"
                )

        body = await services.single_flight.share(("gaps", first, last), work)
        keep_this_second(request.scope, now)
        headers = {"cache-control": cache_control(False)}
        return conditional_response(request, body, headers, "application/json")

    get_and_head(app, "/v1/gaps", gaps, summary="Where the archive has holes, and why", responses=RESPONSES)
