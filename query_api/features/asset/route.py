"""`/v1/assets/{id}`: one asset as of an instant."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from lib.columns import COLUMNS
from lib.schema import ID
from query_api.asof.asset import find_asset
from query_api.asof.names import names_until
from query_api.http import parameters, responses
from query_api.http.caching import cache_control_of, conditional_response
from query_api.http.client import client_of
from query_api.http.content_type import MEDIA_TYPES
from query_api.http.formats import pair_info
from query_api.http.json_line import json_line
from query_api.http.responses import Named, PairInfo, model_of
from query_api.http.routing import get_and_head
from query_api.services import Services

NAMES = "With what the asset was called up to then, from when to when, to the hour"

_NAMESAKES = "Other assets whose ticker is the digits asked for, which are read as an id; `by=symbol` asks for a ticker"


class Namesake(BaseModel):
    """Another asset."""

    cmc_id: int
    symbol: str
    name: str | None


class _AssetInfo(PairInfo):
    market_cap_usd: float | None
    stablecoin: bool | None
    wrapped: bool | None
    also_ticker_of: Annotated[list[Namesake], Field(description=_NAMESAKES)]
    names: Annotated[list[Named] | SkipJsonSchema[None], Field(description="With `names` only")] = None


AssetResponse: Any = create_model(
    "AssetResponse",
    __base__=_AssetInfo,
    __doc__="One asset as the top list of `requested_at` has it; null is what no source reports.",
    **model_of(COLUMNS),
)

ASSET_RESPONSES: responses.Responses = {
    200: {"model": AssetResponse, "description": "The asset"},
    404: responses.NO_ASSET,
    409: responses.AMBIGUOUS_TICKER,
    **responses.CACHEABLE_RESPONSES,
}


def install(app: FastAPI, services: Services) -> None:
    """One asset."""

    async def asset(
        request: Request,
        id: parameters.AssetName,
        datetime: parameters.Instant = None,
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        by: parameters.ByName = None,
        names: Annotated[bool, Query(description=NAMES)] = False,
    ) -> Response:
        """The asset as the list of `datetime` has it, with its market cap and kind. A shared ticker is refused."""
        now = services.clock()
        as_of = parameters.parse_as_of(
            datetime, max_age=max_age, known_at=known_at, now=now, default_age=services.max_age
        )
        at = parameters.parse_datetime(datetime, now)
        finder, named_by = services.lists.pair_finder, parameters.parse_by(by)
        basis, row, others = await find_asset(
            finder, id, at, max_age=as_of.max_age, known_at=as_of.known_at, by=named_by
        )
        answer = {**pair_info(basis), **row, "also_ticker_of": others}
        if names:
            async with services.long_work.single_step(client_of(request.scope)):
                newest, until = (row["symbol"], row["name"]), basis.pair.price.tick
                answer["names"] = await names_until(services.store, row[ID], until, newest, basis.known_at)
        body = json_line(answer)
        headers = {"cache-control": cache_control_of([basis], as_of, sent=services.clock())}
        return conditional_response(request, body, headers, MEDIA_TYPES["json"])

    get_and_head(app, "/v1/assets/{id}", asset, summary="One asset", responses=ASSET_RESPONSES)
