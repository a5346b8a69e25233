"""`/v1/assets/{id}`: one asset as of an instant."""

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from lib.clock import isoformat
from query_api.asof.asset import AssetFinder, AssetFound
from query_api.features.asset.response import ASSET_RESPONSES
from query_api.http.caching import cache_control, conditional_response, is_final, strong_etag
from query_api.http.formats import pair_info
from query_api.http.parameters import (
    AssetName,
    Instant,
    KnownAt,
    MaxAge,
    depends_on_now,
    parse_datetime,
    parse_known_at,
    parse_max_age,
)
from query_api.http.routing import get_and_head
from query_api.services import Services


def install(app: FastAPI, services: Services) -> None:
    """One asset."""
    assets = AssetFinder(services.store, services.lists.pair_finder)

    async def asset(
        request: Request, id: AssetName, datetime: Instant = None, max_age: MaxAge = None, known_at: KnownAt = None
    ) -> Response:
        """The asset as the list of `datetime` has it, with its market cap and kind. A shared ticker is refused."""
        now = services.clock()
        age = services.max_age if max_age is None else parse_max_age(max_age)
        known = parse_known_at(known_at, now)
        found = await assets.find(id, parse_datetime(datetime, now), max_age=age, known_at=known)
        body = orjson.dumps(_told(found))
        stays = not depends_on_now(datetime, known_at=known_at) and is_final(
            found.at, found.found.pair, found.found.resolution, max_age=age, now=now
        )
        headers = {"etag": strong_etag(body), "cache-control": cache_control(stays)}
        return conditional_response(request, body, headers, "application/json")

    shown = {"summary": "One asset", "responses": ASSET_RESPONSES, "response_class": JSONResponse}
    get_and_head(app, "/v1/assets/{id}", asset, operation_id="asset", **shown)


def _told(asset: AssetFound) -> Mapping[str, Any]:
    stood = pair_info(asset.at, asset.found.pair, asset.found.resolution)
    return {**stood, "known_at": isoformat(asset.known_at), **asset.row}
