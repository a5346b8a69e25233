"""`/v1/assets/{id}/history`: one asset over time."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from lib.clock import isoformat, slot
from lib.instants import DURATION
from lib.units import format_duration
from query_api.asof.asset import AssetFinder
from query_api.features.history.response import HISTORY_RESPONSES
from query_api.features.history.work import COLUMNS, FILLS, Fill, Histories, History, Steps
from query_api.http.caching import cache_control, conditional_response, header_list, strong_etag
from query_api.http.content_type import MEDIA_TYPES, choose_format
from query_api.http.formats import table_csv
from query_api.http.parameters import AssetName, FormatName, Instant, depends_on_now, parse_every, parse_range
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.routing import get_and_head
from query_api.services import Services

DAY = timedelta(days=1)
EVER = timedelta(days=100 * 366)
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
            "Steps without a snapshot: left out (none), told as nulls (null), or filled with the point before and"
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
    assets = AssetFinder(services.store, services.lists.pair_finder)
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
    ) -> Response:
        """An asset as of each step from `from` on, by default a day before `to`, and before `to`, by default now.

        A `from` that moves with the clock begins at a whole multiple of `every`. A ticker is the one of `to`.
        """
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        distance, how = _asked_every(every), _asked_fill(fill)
        first, last = parse_range(start, stop, now, default=DAY, longest=EVER)
        if depends_on_now(start):
            first = slot(first, distance)
        steps = Steps(first, last, distance, limit)
        cmc_id = await assets.identified(id, last, max_age=services.max_age)
        found = await histories.of(cmc_id, steps.all, distance, how)
        asked = {"every": every, "fill": how, "limit": str(limit), **({"format": chosen} if format else {})}
        following = _next(cmc_id, steps, asked)
        if chosen == "json":
            body = orjson.dumps(_told(cmc_id, steps, how, found, following))
        else:
            body = table_csv(COLUMNS, (tuple(point.values()) for point in found.points))
        settled = (
            not depends_on_now(start, stop) and not found.coverage.missing and last < now - distance - services.max_age
        )
        headers = {"etag": strong_etag(body), "cache-control": cache_control(settled), "vary": "Accept"}
        headers["x-coverage"] = ", ".join(f"{name}={count}" for name, count in asdict(found.coverage).items())
        if following:
            headers["link"] = f'<{following}>; rel="next"'
        return conditional_response(request, body, headers, MEDIA_TYPES[chosen])

    shown = {"summary": "One asset over time", "responses": HISTORY_RESPONSES, "response_class": JSONResponse}
    get_and_head(app, "/v1/assets/{id}/history", history, operation_id="history", **shown)


def _asked_every(text: str) -> timedelta:
    every = parse_every(text)
    if not SHORTEST <= every <= LONGEST:
        raise BadRequest("every", text, "must be at least 1m and at most 366d", EXAMPLES["every"])
    return every


def _asked_fill(text: str) -> Fill:
    for name in FILLS:
        if text == name:
            return name
    raise BadRequest("fill", text, f"is no way to fill gaps; they are {', '.join(FILLS)}", EXAMPLES["fill"])


def _next(cmc_id: int, steps: Steps, asked: dict[str, str]) -> str | None:
    """Where the next page is; both of its ends stand still."""
    if steps.following is None:
        return None
    ends = {"from": isoformat(steps.following), "to": isoformat(steps.stop)}
    return f"/v1/assets/{cmc_id}/history?{urlencode(ends | asked)}"


def _told(cmc_id: int, steps: Steps, fill: Fill, found: History, following: str | None) -> dict[str, Any]:
    return {
        "cmc_id": cmc_id,
        "from": isoformat(steps.start),
        "to": isoformat(steps.stop),
        "every": format_duration(steps.every),
        "fill": fill,
        "coverage": asdict(found.coverage),
        "names": found.names,
        "next": following,
        "data": found.points,
    }
