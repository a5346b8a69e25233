"""What several addresses answer: documented responses and the models of their bodies."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from query_api.http.problems import Problem


class Named(BaseModel):
    """A ticker and name the asset went by, from the first to the last step that shows it."""

    symbol: str | None
    name: str | None
    first: datetime
    last: datetime


def csv_content(example: str) -> dict[str, Any]:
    """The documented content of a CSV response."""
    return {"text/csv": {"schema": {"type": "string"}, "example": example}}


class Sources(BaseModel):
    """The source each side came from."""

    price: str
    rank: str


class Assets(BaseModel):
    """How many assets each snapshot holds, and how many are in both."""

    price: int
    rank: int
    matched: int


class Unchanged(BaseModel):
    """Whether the source sent the very values of its snapshot before: then they are older than their time says."""

    price: bool
    rank: bool


class Backfilled(BaseModel):
    """Whether a snapshot was bought back or imported later, and not fetched at its tick."""

    price: bool
    rank: bool


class Snapshots(BaseModel):
    """The content hash of each snapshot; null for those of before there was one."""

    price: str | None
    rank: str | None


class Row(BaseModel):
    """One asset. The fields of extra series follow, null where they have no value.

    `price_updated_at` is when the price source itself last updated the price: null where it does not tell.
    """

    model_config = ConfigDict(extra="allow")

    rank: int
    cmc_id: int
    symbol: str | None
    name: str | None
    price_usd: float
    volume_24h_usd: float
    source_rank: int
    price_updated_at: datetime | None


_FILTERED = (
    "With filters only: how many assets each left out above the last one shown; `unknown` are those left out because"
    " no source told their kind or market cap"
)


_MISSING = "With filters only: the symbols and ids asked for that are not in both snapshots"


class PairInfo(BaseModel):
    """The pair of snapshots an answer stands on, never later ones than `requested_at`."""

    requested_at: datetime
    price_time: datetime
    rank_time: datetime
    price_age_s: float
    rank_age_s: float
    resolution: Literal["1m", "1h"]
    sources: Sources
    snapshots: Snapshots
    backfilled: Backfilled
    known_at: datetime


class TopResponse(PairInfo):
    """The top list as of `requested_at`: from the snapshots of `price_time` and `rank_time`, never later ones."""

    model_config = ConfigDict(extra="allow")

    assets: Assets
    unchanged: Unchanged
    limit: int
    count: int
    data: list[Row]
    filtered: Annotated[dict[str, int] | SkipJsonSchema[None], Field(description=_FILTERED)] = None
    missing: Annotated[list[str] | SkipJsonSchema[None], Field(description=_MISSING)] = None


def documented_problem(description: str) -> dict[str, object]:
    """A documented error."""
    schema = Problem.model_json_schema()
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


TOP_CSV = {"schema": {"type": "string"}, "example": "Rank,Symbol,Price USD\r\n1,BTC,92311.5\r\n"}


ACCESS_RESPONSES: dict[int | str, dict[str, object]] = {
    401: documented_problem("A key is needed: this deployment has CLIENT_KEYS"),
    429: documented_problem(
        "Asked more often than this deployment's RATE_LIMIT allows; Retry-After tells when to ask again"
    ),
}
"""What the guard may answer in a route's place."""


TOP_HTML = {"schema": {"type": "string"}}


TOP_RESPONSES: dict[int | str, dict[str, object]] = {
    **ACCESS_RESPONSES,
    200: {"model": TopResponse, "content": {"text/csv": TOP_CSV}, "description": "The list, as JSON or CSV"},
    304: {"description": "The caller's copy, named by If-None-Match, is still right"},
    404: documented_problem("No snapshot for that instant, with the reason and the nearest one before"),
    406: documented_problem("The Accept header allows neither JSON nor CSV"),
    422: documented_problem("A parameter is wrong, unknown or given twice"),
    503: documented_problem("The store is away, or too many ask at once; Retry-After tells when to ask again"),
}


STORE_RESPONSES: dict[int | str, dict[str, object]] = {
    **ACCESS_RESPONSES,
    422: TOP_RESPONSES[422],
    503: TOP_RESPONSES[503],
}


CACHEABLE_RESPONSES: dict[int | str, dict[str, Any]] = {304: TOP_RESPONSES[304], **STORE_RESPONSES}
