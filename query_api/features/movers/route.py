"""`/v1/movers`: who moved between two instants."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import orjson
import polars as pl
from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from lib.clock import isoformat
from query_api.asof.top_list import Top
from query_api.features.movers.response import MOVERS_RESPONSES
from query_api.features.movers.work import COLUMNS, MOVES, movers
from query_api.http.caching import filter_headers, kept_for, listed, sent, settled, strong_tag, time_headers
from query_api.http.content_type import MEDIA_TYPES, negotiated
from query_api.http.formats import table_csv, told_of
from query_api.http.parameters import (
    Filtering,
    FormatName,
    Instant,
    KnownAt,
    Limit,
    MaxAge,
    asked_age,
    asked_known_at,
    asked_range,
    moving,
)
from query_api.http.routing import answer
from query_api.services import Services

DAY = timedelta(days=1)
EVER = timedelta(days=100 * 366)


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
        chosen = negotiated(format, listed(request, "accept"))
        first, last = asked_range(start, stop, now, default=DAY, longest=EVER)
        age = services.max_age if max_age is None else asked_age(max_age)
        known = asked_known_at(known_at, now)
        lists = await asyncio.gather(
            *(services.top(at, limit=top, max_age=age, known_at=known, filters=filters) for at in (first, last))
        )
        rows = await asyncio.to_thread(movers, lists[0].rows, lists[1].rows)
        body = _json(lists, top, rows) if chosen == "json" else table_csv(COLUMNS.values(), rows.iter_rows())
        stays = not moving(start, stop, known_at=known_at) and all(
            settled(one.at, one.pair, one.resolution, max_age=age, now=now) for one in lists
        )
        headers = {"etag": strong_tag(body), "cache-control": kept_for(stays), "vary": "Accept"}
        for side, one in zip(("from", "to"), lists, strict=True):
            headers |= time_headers(one, f"x-{side}")
        headers |= filter_headers(lists[1])
        return sent(request, body, headers, MEDIA_TYPES[chosen])

    shown = {"summary": "Who moved", "responses": MOVERS_RESPONSES, "response_class": JSONResponse}
    answer(app, "/v1/movers", moved, operation_id="movers", **shown)


def _json(lists: Sequence[Top], top: int, rows: pl.DataFrame) -> bytes:
    moves = rows["move"].to_list()
    told = {"from": _told(lists[0]), "to": _told(lists[1]), "top": top, **{move: moves.count(move) for move in MOVES}}
    return orjson.dumps({**told, "data": rows.to_dicts()})


def _told(one: Top) -> dict[str, Any]:
    told = {**told_of(one.at, one.pair, one.resolution), "known_at": isoformat(one.known_at), "matched": one.matched}
    if one.filtered:
        told |= {"filtered": dict(one.filtered.counts), "missing": one.filtered.missing}
    return told
