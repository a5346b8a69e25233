"""`/v1/assets/{id}/history`: one asset over time."""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from lib.clock import isoformat
from lib.instants import DURATION, first_step
from lib.units import format_duration
from query_api.asof.asset import is_id
from query_api.asof.asset_over_span import AssetOverSpan
from query_api.features.history.response import HISTORY_RESPONSES
from query_api.features.history.work import COLUMNS, FILLS, Fill, Histories, History, Steps
from query_api.http.caching import cache_control, conditional_response, header_list, is_final, strong_etag
from query_api.http.client import client_of
from query_api.http.content_type import MEDIA_TYPES, choose_format
from query_api.http.formats import table_csv
from query_api.http.parameters import (
    AssetName,
    ByName,
    FormatName,
    Instant,
    depends_on_now,
    parse_by,
    parse_every,
    parse_range,
)
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.routing import get_and_head
from query_api.services import Services

SHORT = 100
"""Steps of a history that is answered at once, like a list."""
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)

Every = Annotated[
    str,
    Query(
        description="The distance between steps, from 1m to 366d",
        examples=[EXAMPLES["every"]],
        max_length=32,
        json_schema_extra={"pattern": f"^{DURATION}$"},
    ),
]
FillName = Annotated[
    str,
    Query(
        description=(
            "Steps without a snapshot: left out (none), shown as nulls (null), or filled with the point before and"
            " marked so (previous)"
        ),
        examples=[EXAMPLES["fill"]],
        max_length=8,
        json_schema_extra={"pattern": f"^(?:{'|'.join(FILLS)})$"},
    ),
]
Most = Annotated[int, Query(ge=1, le=5000, description="How many steps to a page, at most", examples=[1000])]


def install(app: FastAPI, services: Services) -> None:
    """Histories."""
    assets = AssetOverSpan(services.store)
    histories = Histories(services.store, services.lists.pair_finder)

    async def history(
        request: Request,
        id: AssetName,
        start: Annotated[Instant, Query(alias="from")] = None,
        stop: Annotated[Instant, Query(alias="to")] = None,
        every: Every = "1h",
        fill: FillName = "none",
        limit: Most = 1000,
        format: FormatName = None,
        by: ByName = None,
    ) -> Response:
        """An asset as of each step from `from` on, by default a day before `to`, and before `to`, by default now.

        Steps begin at `from`; one that depends on the clock, such as now-2h, is floored to `every`.
        A ticker means the asset that had it in this span; if several had it, they are listed with their times.
        """
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        distance, how = _parse_every(every), _parse_fill(fill)
        first, last = parse_range(start, stop, now)
        steps = Steps(first_step(first, start, distance), last, distance, limit)
        async with nullcontext() if is_id(id) else services.long_work.step():  # a ticker takes several whole lists
            cmc_id = await assets.find(id, steps.start, last, now=now, by=parse_by(by))
        async with _lane(services, request, steps):
            found = await histories.of(cmc_id, steps.all, distance, how)
        following = _next(
            cmc_id, steps, every=every, fill=how, limit=str(limit), **({"format": chosen} if format else {})
        )
        body = await asyncio.to_thread(
            _to_csv if chosen == "csv" else partial(_to_json, cmc_id, steps, how, following), found
        )
        final = not depends_on_now(start, stop) and await asyncio.to_thread(_all_final, found, services.max_age, now)
        headers = {"etag": strong_etag(body), "cache-control": cache_control(final), "vary": "Accept"}
        headers["x-coverage"] = ", ".join(f"{name}={count}" for name, count in asdict(found.coverage).items())
        if following:
            headers["link"] = f'<{following}>; rel="next"'
        return conditional_response(request, body, headers, MEDIA_TYPES[chosen])

    shown = {"summary": "One asset over time", "responses": HISTORY_RESPONSES, "response_class": JSONResponse}
    get_and_head(app, "/v1/assets/{id}/history", history, operation_id="history", **shown)


def _lane(services: Services, request: Request, steps: Steps) -> AbstractAsyncContextManager[None]:
    """A long history waits for its turn among long requests; a short one does not."""
    return services.long_work.single_step(client_of(request.scope)) if len(steps.all) > SHORT else nullcontext()


def _parse_every(text: str) -> timedelta:
    every = parse_every(text)
    if not SHORTEST <= every <= LONGEST:
        raise BadRequest("every", text, "must be at least 1m and at most 366d", EXAMPLES["every"])
    return every


def _parse_fill(text: str) -> Fill:
    for name in FILLS:
        if text == name:
            return name
    raise BadRequest("fill", text, f"is no way to fill gaps; they are {', '.join(FILLS)}", EXAMPLES["fill"])


def _next(cmc_id: int, steps: Steps, **parameters: str) -> str | None:
    """The address of the next page. Both of its ends are fixed instants."""
    if steps.following is None:
        return None
    ends = {"from": isoformat(steps.following), "to": isoformat(steps.stop)}
    return f"/v1/assets/{cmc_id}/history?{urlencode(ends | parameters)}"


def _all_final(history: History, max_age: timedelta, now: datetime) -> bool:
    """Whether no late snapshot can change a point: no step lies in a gap or right behind one."""
    return all(
        pair is not None and is_final(step, pair, history.resolution(pair), max_age=max_age, now=now)
        for step, pair in zip(history.steps, history.pairs, strict=True)
    )


def _to_csv(history: History) -> bytes:
    return table_csv(COLUMNS, (tuple(point.values()) for point in history.points))


def _to_json(cmc_id: int, steps: Steps, fill: Fill, following: str | None, history: History) -> bytes:
    return orjson.dumps(
        {
            "cmc_id": cmc_id,
            "from": isoformat(steps.start),
            "to": isoformat(steps.stop),
            "every": format_duration(steps.every),
            "fill": fill,
            "coverage": asdict(history.coverage),
            "names": history.names,
            "next": following,
            "data": history.points,
        }
    )
