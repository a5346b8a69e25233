"""What the documents about single assets and about moves look like, for the OpenAPI document and for readers of it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from query_api.answers import STORE_RESPONSES, TOP_RESPONSES, Stood, problem_shown


class AssetAnswer(Stood):
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


class ListStood(Stood):
    """One of the two lists: what it stands on, how many assets match, and what filters left out."""

    matched: int
    filtered: dict[str, int] = Field(default={})
    missing: list[str] = Field(default=[])


class Mover(BaseModel):
    """One asset on either list. What is not known of one side is null; a positive `rank_change` is a climb."""

    cmc_id: int
    symbol: str | None
    name: str | None
    move: Literal["stayed", "entered", "left"]
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

    start: ListStood = Field(alias="from")
    stop: ListStood = Field(alias="to")
    top: int
    stayed: int
    entered: int
    left: int
    data: list[Mover]


class Named(BaseModel):
    """A ticker and name the asset went by, from the first to the last step that shows it."""

    symbol: str | None
    name: str | None
    first: datetime
    last: datetime


class Covered(BaseModel):
    """Of a page's expected steps: the asset was there, was in no list, or there was no snapshot; and gaps filled."""

    expected: int
    present: int
    absent: int
    missing: int
    filled: int


class Point(BaseModel):
    """One step: of the newest pair whose price tick lies in (at - every, at], with the ticks' own times.

    Without price a null: with times the asset was in no list then, without them there was no snapshot. `filled` says
    that the step is a gap and the point that of the newest pair before it.
    """

    at: datetime
    price_usd: float | None
    volume_24h_usd: float | None
    source_rank: int | None
    symbol: str | None
    price_time: datetime | None
    rank_time: datetime | None
    price_updated_at: datetime | None
    resolution: Literal["1m", "1h"] | None
    filled: bool


class HistoryAnswer(BaseModel):
    """A page of an asset's history: the steps from `from` on, before `to`; `next`, also as `Link`, is the next page."""

    cmc_id: int
    start: datetime = Field(alias="from")
    stop: datetime = Field(alias="to")
    every: str
    fill: Literal["none", "null", "previous"]
    coverage: Covered
    names: list[Named]
    next: str | None
    data: list[Point]


def _csv(example: str) -> dict[str, Any]:
    return {"text/csv": {"schema": {"type": "string"}, "example": example}}


_KEPT: dict[int | str, dict[str, Any]] = {304: TOP_RESPONSES[304], **STORE_RESPONSES}
ASSET_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": AssetAnswer, "description": "The asset"},
    404: problem_shown("No snapshot for that instant, or no such asset in it: with the reason"),
    409: problem_shown("Several assets have the ticker; `candidates` tells which, by id"),
    **_KEPT,
}
HISTORY_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": HistoryAnswer,
        "description": "A page of the history, as JSON or CSV",
        "content": _csv("At,Price USD,…\r\n2026-11-17T14:00:00Z,92311.5,…\r\n"),
        "headers": {"Link": {"description": "The next page", "schema": {"type": "string"}}},
    },
    404: problem_shown("No asset has the ticker, or there is no snapshot to look it up in"),
    406: TOP_RESPONSES[406],
    409: ASSET_RESPONSES[409],
    **_KEPT,
}
MOVERS_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": MoversAnswer,
        "description": "Who moved, as JSON or CSV",
        "content": _csv("CMC ID,Symbol,Name,Move,Rank From,Rank To,…\r\n1,BTC,Bitcoin,stayed,2,1,…\r\n"),
    },
    404: TOP_RESPONSES[404],
    406: TOP_RESPONSES[406],
    **_KEPT,
}
