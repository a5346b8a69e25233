"""The movers' answer."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from query_api.http.responses import CACHEABLE_RESPONSES, NO_SNAPSHOT, NOT_ACCEPTABLE, PairInfo, csv_content

Move = Literal["stayed", "entered", "left"]


class ListInfo(PairInfo):
    """One of the two lists: what it stands on, how many assets match, and what filters left out."""

    matched: int
    filtered: dict[str, int] = Field(default={})
    missing: list[str] = Field(default=[])


class Mover(BaseModel):
    """One asset on either list. What is not known of one side is null; a positive `rank_change` is a climb."""

    cmc_id: int
    symbol: str | None
    name: str | None
    move: Move
    rank_from: int | None
    rank_to: int | None
    rank_change: int | None
    source_rank_from: int | None
    source_rank_to: int | None
    price_from_usd: float | None
    price_to_usd: float | None
    price_change_pct: float | None
    volume_24h_from_usd: float | None
    volume_24h_to_usd: float | None
    volume_24h_change_pct: float | None


class MoversAnswer(BaseModel):
    """The lists as of two instants side by side: stayed + entered are the later list, stayed + left the earlier."""

    start: ListInfo = Field(alias="from")
    stop: ListInfo = Field(alias="to")
    top: int
    stayed: int
    entered: int
    left: int
    data: list[Mover]


MOVERS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": MoversAnswer,
        "description": "Who moved, as JSON or CSV",
        "content": csv_content("cmc_id,symbol,name,move,rank_from,rank_to,…\r\n1,BTC,Bitcoin,stayed,2,1,…\r\n"),
    },
    404: NO_SNAPSHOT,
    406: NOT_ACCEPTABLE,
    **CACHEABLE_RESPONSES,
}
