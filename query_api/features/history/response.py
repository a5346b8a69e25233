"""A history's answer."""

from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field

from query_api.http.responses import (
    AMBIGUOUS_TICKER,
    CACHEABLE_RESPONSES,
    NOT_ACCEPTABLE,
    Named,
    csv_content,
    documented_problem,
)

Fill = Literal["none", "null", "previous"]
FILLS: tuple[Fill, ...] = get_args(Fill)


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
    fill: Fill
    coverage: Covered
    names: list[Named]
    next: str | None
    data: list[Point]


HISTORY_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": HistoryAnswer,
        "description": "A page of the history, as JSON or CSV",
        "content": csv_content("at,price_usd,…\r\n2026-11-17T14:00:00Z,92311.5,…\r\n"),
        "headers": {"Link": {"description": "The next page", "schema": {"type": "string"}}},
    },
    404: documented_problem("No asset has the ticker, or there is no snapshot to look it up in"),
    406: NOT_ACCEPTABLE,
    409: AMBIGUOUS_TICKER,
    **CACHEABLE_RESPONSES,
}
