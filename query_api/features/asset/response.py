"""What the documents about single assets and about moves look like, for the OpenAPI document and for readers of it."""

from datetime import datetime
from typing import Any

from query_api.http.responses import CACHEABLE_RESPONSES, PairInfo, documented_problem


class AssetResponse(PairInfo):
    """One asset as the top list of `requested_at` has it; null is what no source told."""

    rank: int
    cmc_id: int
    symbol: str | None
    name: str | None
    price_usd: float
    volume_24h_usd: float
    source_rank: int
    price_updated_at: datetime | None
    market_cap_usd: float | None
    stablecoin: bool | None
    wrapped: bool | None


ASSET_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": AssetResponse, "description": "The asset"},
    404: documented_problem("No snapshot for that instant, or no such asset in it: with the reason"),
    409: documented_problem("Several assets have the ticker; `candidates` tells which, by id"),
    **CACHEABLE_RESPONSES,
}
