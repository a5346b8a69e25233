"""The models of a single asset's answer."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model
from pydantic.json_schema import SkipJsonSchema

from lib.columns import COLUMNS
from query_api.http.responses import (
    AMBIGUOUS_TICKER,
    CACHEABLE_RESPONSES,
    NO_ASSET,
    Named,
    PairInfo,
    Responses,
    model_of,
)

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

ASSET_RESPONSES: Responses = {
    200: {"model": AssetResponse, "description": "The asset"},
    404: NO_ASSET,
    409: AMBIGUOUS_TICKER,
    **CACHEABLE_RESPONSES,
}
