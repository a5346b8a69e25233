"""`/v1/assets/{id}`: one asset as of an instant."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Request
from starlette.responses import JSONResponse, Response

from lib.clock import isoformat
from query_api.asof.asset import Asset, Assets
from query_api.features.asset.response import ASSET_RESPONSES
from query_api.http.caching import kept_for, sent, settled, strong_tag
from query_api.http.formats import told_of
from query_api.http.parameters import Instant, KnownAt, MaxAge, asked_age, asked_instant, asked_known_at, moving
from query_api.http.problems import EXAMPLES
from query_api.http.routing import answer
from query_api.services import Services

Named = Annotated[
    str,
    Path(
        description="A CoinMarketCap id, or a ticker in any case that only one asset has then; digits are always an id",
        examples=["1", EXAMPLES["id"]],
        max_length=256,
        json_schema_extra={"pattern": "^[^/]+$"},
    ),
]


def install(app: FastAPI, services: Services) -> None:
    """One asset."""
    assets = Assets(services.store, services.lists.pairs)

    async def asset(
        request: Request, id: Named, datetime: Instant = None, max_age: MaxAge = None, known_at: KnownAt = None
    ) -> Response:
        """The asset as the list of `datetime` has it, with its market cap and kind. A shared ticker is refused."""
        now = services.clock()
        age = services.max_age if max_age is None else asked_age(max_age)
        known = asked_known_at(known_at, now)
        found = await assets.at(id, asked_instant(datetime, now), max_age=age, known_at=known)
        body = orjson.dumps(_told(found))
        stays = not moving(datetime, known_at=known_at) and settled(
            found.at, found.found.pair, found.found.resolution, max_age=age, now=now
        )
        headers = {"etag": strong_tag(body), "cache-control": kept_for(stays)}
        return sent(request, body, headers, "application/json")

    shown = {"summary": "One asset", "responses": ASSET_RESPONSES, "response_class": JSONResponse}
    answer(app, "/v1/assets/{id}", asset, operation_id="asset", **shown)


def _told(asset: Asset) -> Mapping[str, Any]:
    stood = told_of(asset.at, asset.found.pair, asset.found.resolution)
    return {**stood, "known_at": isoformat(asset.known_at), **asset.row}
