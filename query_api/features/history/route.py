"""`/v1/assets/{id}/history`: one asset over time."""

import asyncio
from contextlib import nullcontext
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from lib.answer_tables import history_table
from lib.clock import isoformat
from lib.instants import Span, first_step
from lib.text import is_digits
from query_api.asof.asset_over_span import find_over_span
from query_api.features.history.points import COLUMNS, TIMES, Point
from query_api.features.history.work import FILLS, Covered, Fill, History, history_of
from query_api.http import parameters, responses
from query_api.http.caching import READABLE_AFTER, WRITE_TIMEOUT, all_final, cache_control, header_list
from query_api.http.client import client_of
from query_api.http.content_type import choose_format
from query_api.http.formats import rows_as_json
from query_api.http.json_line import json_line
from query_api.http.routing import get_and_head
from query_api.http.row_answer import RowAnswer, read_again
from query_api.services import Services

EXAMPLE = "at,price_usd,source_rank"
SHORT = 100
"""Steps of a history that is answered at once, like a list."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)

Every = Annotated[str, parameters.duration_query("every", "The distance between steps, from 1m to 366d")]
FillName = Annotated[
    str,
    parameters.text_query(
        "fill",
        "Steps without a snapshot: left out (none), shown as nulls (null), or filled with the point before and marked"
        " so (previous)",
        f"^(?:{'|'.join(FILLS)})$",
        8,
    ),
]
Most = Annotated[int, Query(ge=1, le=5000, description="How many steps to a page, at most", examples=[1000])]


class HistoryAnswer(BaseModel):
    """A page of an asset's history: the steps from `from` on, before `to`; `next`, also as `Link`, is the next page."""

    cmc_id: int
    start: datetime = Field(alias="from")
    stop: datetime = Field(alias="to")
    every: str
    fill: Fill
    known_at: datetime
    coverage: Covered
    names: list[responses.Named]
    next: str | None
    data: list[Point]


HISTORY_RESPONSES: responses.Responses = {
    200: {
        "model": HistoryAnswer,
        "description": "A page of the history",
        "content": responses.row_content("at,price_usd,…\r\n2026-11-17T14:00:00Z,92311.5,…\r\n"),
        "headers": {"Link": {"description": "The next page", "schema": {"type": "string"}}},
    },
    404: responses.documented_problem("No asset has the ticker, or there is no snapshot to look it up in"),
    406: responses.NOT_ACCEPTABLE,
    409: responses.AMBIGUOUS_TICKER,
    **responses.CACHEABLE_RESPONSES,
}


def install(app: FastAPI, services: Services) -> None:
    """Histories."""
    finder = services.lists.pair_finder
    which = parameters.columns_query(f"For all formats but JSON: which of {', '.join(COLUMNS)}", COLUMNS, EXAMPLE)

    async def history(
        request: Request,
        id: parameters.AssetName,
        start: parameters.Start = None,
        stop: parameters.Stop = None,
        every: Every = "1h",
        fill: FillName = "none",
        limit: Most = 1000,
        format: parameters.FormatName = None,
        by: parameters.ByName = None,
        known_at: parameters.KnownAt = None,
        columns: parameters.OptionalText = which,
    ) -> Response:
        """An asset as of each step from `from` on, by default a day before `to`, and before `to`, by default now.

        Steps begin at `from`; one that depends on the clock, such as now-2h, is floored to `every`.
        A ticker means the asset that had it in this span; if several had it, they are listed with their times.
        """
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        if again := read_again(request, services, chosen):
            return again
        distance = parameters.parse_span("every", every, "must be at least 1m and at most 366d", SHORTEST, LONGEST)
        how = parameters.parse_choice("fill", fill, FILLS, f"is no way to fill gaps; they are {', '.join(FILLS)}")
        shown = parameters.parse_columns(columns, chosen, COLUMNS, EXAMPLE)
        first, last = parameters.parse_range(start, stop, now)
        known = parameters.parse_known_at(known_at, now)
        span = Span(first_step(first, start, distance), last, distance)
        steps = [span.at(number) for number in range(min(span.steps, limit))]
        async with nullcontext() if is_digits(id) else services.long_work.step():  # a ticker takes several lists
            cmc_id = await find_over_span(
                finder.store, id, span.start, last, now=now, by=parameters.parse_by(by), known_at=known
            )
        is_long = len(steps) > SHORT  # and waits for its turn among long requests
        async with services.long_work.single_step(client_of(request.scope)) if is_long else nullcontext():
            found = await history_of(finder, cmc_id, steps, distance, how, now=now, known_at=known)
        sent = {"format": format and chosen, "known_at": isoformat(known) if known else None, "columns": columns}
        following = _next(cmc_id, span, limit, every=every, fill=how, **sent)
        is_final = await asyncio.to_thread(all_final, found.steps, found.pairs, max_age=services.max_age, now=now)
        caching = cache_control(is_final and found.known_at <= now - WRITE_TIMEOUT)
        if parameters.depends_on_now(start, stop, known_at=known_at):
            caching = cache_control(False)
        elif known and known < now - READABLE_AFTER:
            caching = f"{cache_control(True)}, immutable"
        headers = {"cache-control": caching, "vary": "Accept", "x-known-at": isoformat(found.known_at)}
        headers["x-coverage"] = ", ".join(f"{name}={count}" for name, count in found.coverage)
        if following:
            headers["link"] = f'<{following}>; rel="next"'
        answer = RowAnswer(
            count=len(found.points),
            to_json=partial(_to_json, cmc_id, span, every, how, following, found),
            frame=lambda format: found.points.select(shown or COLUMNS),
            to_table=partial(history_table, columns=shown),
            times=TIMES,
            fixed={"from": isoformat(span.start), "to": isoformat(last), "known_at": isoformat(found.known_at)},
        )
        return await answer.respond(request, services, chosen, headers)

    path = "/v1/assets/{id}/history"
    get_and_head(app, path, history, summary="One asset over time", responses=HISTORY_RESPONSES)


def _next(cmc_id: int, span: Span, most: int, **parameters: str | None) -> str | None:
    """The address of the next page, relative to this one's. Both of its ends are fixed instants."""
    if span.steps <= most:
        return None
    ends = {"from": isoformat(span.at(most)), "to": isoformat(span.stop)}
    sent = {name: text for name, text in parameters.items() if text is not None}
    return f"../{cmc_id}/history?{urlencode(ends | {'limit': str(most)} | sent)}"


def _to_json(cmc_id: int, span: Span, every: str, fill: Fill, following: str | None, history: History) -> bytes:
    return json_line(
        {
            "cmc_id": cmc_id,
            "from": isoformat(span.start),
            "to": isoformat(span.stop),
            "every": every,
            "fill": fill,
            "known_at": isoformat(history.known_at),
            "coverage": history.coverage.model_dump(),
            "names": history.names,
            "next": following,
            "data": rows_as_json(history.points),
        }
    )
