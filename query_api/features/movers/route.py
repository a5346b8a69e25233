"""`/v1/movers`: who moved between two instants."""

import asyncio
from collections.abc import Sequence
from functools import partial

import polars as pl
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from lib.answer_tables import movers_table
from lib.clock import isoformat
from query_api.asof.top_list import ListQuery, TopList
from query_api.features.movers.work import COLUMNS, MOVES, Mover, movers
from query_api.http import parameters
from query_api.http.caching import cache_control_of, header_list
from query_api.http.content_type import choose_format
from query_api.http.filter_parameters import Filtering
from query_api.http.formats import filter_info, pair_info
from query_api.http.headers import filter_headers, time_headers
from query_api.http.json_line import json_line
from query_api.http.responses import CACHEABLE_RESPONSES, NO_SNAPSHOT, NOT_ACCEPTABLE, PairInfo, Responses, row_content
from query_api.http.routing import get_and_head
from query_api.http.row_answer import RowAnswer, read_again
from query_api.services import Services


class ListInfo(PairInfo):
    """One of the two lists: its basis, how many assets match, and what filters left out."""

    matched: int
    filtered: dict[str, int] = Field(default={})
    missing: list[str] = Field(default=[])


class MoversAnswer(BaseModel):
    """The lists as of two instants side by side: stayed + entered are the later list, stayed + left the earlier."""

    start: ListInfo = Field(alias="from")
    stop: ListInfo = Field(alias="to")
    top: int
    stayed: int
    entered: int
    left: int
    data: list[Mover]


EXAMPLE = "symbol,move,rank_to,price_change_pct"
MOVERS_RESPONSES: Responses = {
    200: {
        "model": MoversAnswer,
        "description": "Who moved",
        "content": row_content("cmc_id,symbol,name,move,rank_from,rank_to,…\r\n1,BTC,Bitcoin,stayed,2,1,…\r\n"),
    },
    404: NO_SNAPSHOT,
    406: NOT_ACCEPTABLE,
    **CACHEABLE_RESPONSES,
}


def install(app: FastAPI, services: Services) -> None:
    """Moves."""
    which = parameters.columns_query(f"For all formats but JSON: which of {', '.join(COLUMNS)}", COLUMNS, EXAMPLE)

    async def moved(
        request: Request,
        filters: Filtering,
        start: parameters.Start = None,
        stop: parameters.Stop = None,
        top: parameters.Limit = 200,
        format: parameters.FormatName = None,
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        columns: parameters.OptionalText = which,
    ) -> Response:
        """Who rose, fell, entered or left the top `top` between `from`, by default a day before, and `to`."""
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        if again := read_again(request, services, chosen):
            return again
        shown = parameters.parse_columns(columns, chosen, COLUMNS, EXAMPLE)
        first, last = parameters.parse_range(start, stop, now)
        as_of = parameters.parse_as_of(
            start, stop, max_age=max_age, known_at=known_at, now=now, default_age=services.max_age
        )
        query = ListQuery(top, as_of.max_age, as_of.known_at, filters)
        found = await asyncio.gather(services.top(first, query), services.top(last, query), return_exceptions=True)
        lists = [_list(one) for one in found]  # if both fail, the error is that of `from`
        rows = await asyncio.to_thread(movers, lists[0].rows, lists[1].rows)
        headers = {"cache-control": cache_control_of(lists, as_of, sent=services.clock()), "vary": "Accept"}
        known = isoformat(max(one.known_at for one in lists))
        if chosen != "json":  # JSON says the same in its body
            for side, one in zip(("from", "to"), lists, strict=True):
                headers |= time_headers(one, f"x-{side}")
            headers |= filter_headers(lists[1]) | {"x-known-at": known}
        answer = RowAnswer(
            count=len(rows),
            to_json=partial(_json, lists, top, rows, known),
            frame=lambda format: rows.select(shown or COLUMNS),
            to_table=partial(movers_table, columns=shown),
            times=(),
            fixed={"from": isoformat(first), "to": isoformat(last), "known_at": known},
        )
        return await answer.respond(request, services, chosen, headers)

    get_and_head(app, "/v1/movers", moved, operation_id="movers", summary="Who moved", responses=MOVERS_RESPONSES)


def _list(found: TopList | BaseException) -> TopList:
    """What was found, if it is no exception."""
    if isinstance(found, BaseException):
        raise found
    return found


def _json(lists: Sequence[TopList], top: int, rows: pl.DataFrame, known_at: str) -> bytes:
    """Both lists have the `known_at` that gives them both again."""
    moves = rows["move"].to_list()
    counts = {move: moves.count(move) for move in MOVES}
    start, stop = (
        {**pair_info(one), "matched": one.matched, **filter_info(one), "known_at": known_at} for one in lists
    )
    info = {"from": start, "to": stop, "top": top}
    return json_line(info | counts | {"data": rows.to_dicts()})
