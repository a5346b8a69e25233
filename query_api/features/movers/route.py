"""`/v1/movers`: who moved between two instants."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
import polars as pl
from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from query_api.asof.top_list import TopList
from query_api.features.movers.response import MOVERS_RESPONSES
from query_api.features.movers.work import COLUMNS, MOVES, movers
from query_api.http.caching import cache_control_of, conditional_response, header_list, strong_etag
from query_api.http.content_type import MEDIA_TYPES, choose_format
from query_api.http.filter_parameters import Filtering
from query_api.http.formats import pair_info, table_csv
from query_api.http.headers import filter_headers, time_headers
from query_api.http.parameters import (
    FormatName,
    Instant,
    KnownAt,
    Limit,
    MaxAge,
    depends_on_now,
    parse_known_at,
    parse_max_age,
    parse_range,
)
from query_api.http.routing import get_and_head
from query_api.services import Services


def install(app: FastAPI, services: Services) -> None:
    """Moves."""

    async def moved(
        request: Request,
        filters: Filtering,
        start: Annotated[Instant, Query(alias="from")] = None,
        stop: Annotated[Instant, Query(alias="to")] = None,
        top: Limit = 200,
        format: FormatName = None,
        max_age: MaxAge = None,
        known_at: KnownAt = None,
    ) -> Response:
        """Who rose, fell, entered or left the top `top` between `from`, by default a day before, and `to`."""
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        first, last = parse_range(start, stop, now)
        age = services.max_age if max_age is None else parse_max_age(max_age)
        known = parse_known_at(known_at, now)
        lists = await asyncio.gather(
            *(services.top(at, limit=top, max_age=age, known_at=known, filters=filters) for at in (first, last))
        )
        rows = await asyncio.to_thread(movers, lists[0].rows, lists[1].rows)
        body = _json(lists, top, rows) if chosen == "json" else table_csv(COLUMNS, rows.iter_rows())
        kept = cache_control_of(
            lists,
            depends_on_now=depends_on_now(start, stop, known_at=known_at),
            known_at=known,
            max_age=age,
            now=now,
            sent=services.clock(),
        )
        headers = {"etag": strong_etag(body), "cache-control": kept, "vary": "Accept"}
        if chosen != "json":  # JSON says the same in its body
            for side, one in zip(("from", "to"), lists, strict=True):
                headers |= time_headers(one, f"x-{side}")
            headers |= filter_headers(lists[1])
        return conditional_response(request, body, headers, MEDIA_TYPES[chosen])

    shown = {"summary": "Who moved", "responses": MOVERS_RESPONSES, "response_class": JSONResponse}
    get_and_head(app, "/v1/movers", moved, operation_id="movers", **shown)


def _json(lists: Sequence[TopList], top: int, rows: pl.DataFrame) -> bytes:
    moves = rows["move"].to_list()
    told = {"from": _told(lists[0]), "to": _told(lists[1]), "top": top, **{move: moves.count(move) for move in MOVES}}
    return orjson.dumps({**told, "data": rows.to_dicts()})


def _told(one: TopList) -> dict[str, Any]:
    told = pair_info(one) | {"matched": one.matched}
    if one.filtered:
        told |= {"filtered": dict(one.filtered.counts), "missing": one.filtered.missing}
    return told
