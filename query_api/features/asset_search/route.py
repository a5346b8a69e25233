"""`/v1/assets`: every asset the archive ever had, by id, ticker or name."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from lib.clock import isoformat
from query_api.features.asset_search.work import AssetIndex, Entry
from query_api.http import parameters
from query_api.http.caching import cache_control, conditional_response
from query_api.http.client import client_of
from query_api.http.content_type import MEDIA_TYPES
from query_api.http.json_line import json_line
from query_api.http.problems import BadRequest
from query_api.http.responses import CACHEABLE_RESPONSES, Named, Responses
from query_api.http.routing import get_and_head
from query_api.services import Services

ONE_LINE = "^[^\r\n]+$"
Text = Annotated[
    str, parameters.text_query("q", "An id, or a part of a ticker or a name, of now or earlier", ONE_LINE, 64)
]
Most = Annotated[int, Query(ge=1, le=200, description="How many assets, at most", examples=[20])]


class AssetFound(BaseModel):
    """An asset. `first` and `last` are when it was listed, to the hour; `names` are its names, the newest last."""

    cmc_id: int
    symbol: str | None
    name: str | None
    listed: bool
    first: datetime
    last: datetime
    names: list[Named]


class AssetsAnswer(BaseModel):
    """The assets that fit, the best first; `count` is how many there are in all."""

    q: str
    count: int
    data: list[AssetFound]


RESPONSES: Responses = {200: {"model": AssetsAnswer, "description": "The assets"}, **CACHEABLE_RESPONSES}


def install(app: FastAPI, services: Services) -> None:
    """The search."""
    index = AssetIndex(services.store)

    async def assets(request: Request, q: Text, limit: Most = 20) -> Response:
        """Every asset the archive ever had whose id, ticker or name fits, with what it was called and when."""
        if not re.fullmatch(ONE_LINE, q):
            raise BadRequest("q", q, "must be one line of text; for example luna")
        now = services.clock()
        if not index.is_fresh(now):
            async with services.long_work.single_step(client_of(request.scope)):
                await services.single_flight.share(("asset names",), lambda: index.refresh(now))
        matches = index.search(q)
        body = json_line({"q": q, "count": len(matches), "data": [_as_json(entry) for entry in matches[:limit]]})
        return conditional_response(request, body, {"cache-control": cache_control(False)}, MEDIA_TYPES["json"])

    get_and_head(app, "/v1/assets", assets, summary="Every asset there ever was", responses=RESPONSES)


def _as_json(entry: Entry) -> dict[str, Any]:
    names = [
        {"symbol": symbol, "name": name, "first": isoformat(first), "last": isoformat(last)}
        for (symbol, name), first, last in entry.names
    ]
    first = isoformat(min(first for _, first, _ in entry.names))
    newest = {"symbol": names[-1]["symbol"], "name": names[-1]["name"], "listed": entry.listed}
    return {"cmc_id": entry.cmc_id, **newest, "first": first, "last": names[-1]["last"], "names": names}
