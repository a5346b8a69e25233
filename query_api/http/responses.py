"""What several addresses document alike: their errors, and the models of their bodies."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import SkipJsonSchema

from lib.columns import COLUMNS, Column, Kind
from query_api.http.problems import MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/Problem"}
Responses = dict[int | str, dict[str, Any]]
_TYPES: dict[Kind, Any] = {Kind.INTEGER: int, Kind.NUMBER: float, Kind.TEXT: str, Kind.TIME: datetime}


class Sources(BaseModel):
    """The source of each side."""

    price: str
    rank: str


class Assets(BaseModel):
    """How many assets each snapshot holds, and how many are in both."""

    price: int
    rank: int
    matched: int


class Unchanged(BaseModel):
    """Whether the source sent the same values as in the snapshot before. They are then older than their time says."""

    price: bool
    rank: bool


class Backfilled(BaseModel):
    """Whether a snapshot was backfilled or imported later, not fetched at its tick."""

    price: bool
    rank: bool


class Snapshots(BaseModel):
    """The content hash of each snapshot; null for snapshots older than the hash."""

    price: str | None
    rank: str | None


class Named(BaseModel):
    """A ticker and name of the asset, and the first and last instant that show it."""

    symbol: str | None
    name: str | None
    first: datetime
    last: datetime


class PairInfo(BaseModel):
    """The pair of snapshots that an answer uses. Neither is later than `requested_at`."""

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


def model_of(columns: Iterable[Column]) -> dict[str, Any]:
    """The fields of a pydantic model that has these columns."""
    return {column.name: (_type_of(column), Field(description=column.description)) for column in columns}


def _type_of(column: Column) -> Any:
    return _TYPES[column.kind] | None if column.nullable else _TYPES[column.kind]


Row: Any = create_model(
    "Row",
    __config__=ConfigDict(extra="allow"),
    __doc__="One asset. The fields of extra series follow; they are null where the series has no value.",
    **model_of(COLUMNS),
)

_FILTERED = (
    "With filters only: how many assets each filter left out above the last one shown, or of all assets where the list"
    " is shorter than its limit; `unknown` counts those left out because no source reports their kind or market cap"
)
_MISSING = "With filters only: the symbols and ids asked for that are not in both snapshots"


class TopResponse(PairInfo):
    """The top list as of `requested_at`, from the snapshots of `price_time` and `rank_time`, never later ones."""

    model_config = ConfigDict(extra="allow")

    assets: Assets
    unchanged: Unchanged
    limit: int
    count: int
    data: list[Row]
    filtered: Annotated[dict[str, int] | SkipJsonSchema[None], Field(description=_FILTERED)] = None
    missing: Annotated[list[str] | SkipJsonSchema[None], Field(description=_MISSING)] = None


def documented_problem(description: str) -> dict[str, Any]:
    """A documented error."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": PROBLEM}}}


def row_content(csv_example: str) -> dict[str, Any]:
    """The documented contents of an answer that has rows, beside JSON."""
    text = {"schema": {"type": "string"}}
    return {
        "text/csv": {**text, "example": csv_example},
        "application/x-ndjson": text,
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        "text/plain": text,
    }


NO_SNAPSHOT = documented_problem("No snapshot for that instant, with the reason and the nearest one before")
NO_ASSET = documented_problem("No snapshot for that instant, or no such asset in it, with the reason")
NOT_ACCEPTABLE = documented_problem("The Accept header allows no format of this address")
AMBIGUOUS_TICKER = documented_problem("Several assets have the ticker; `candidates` lists them with their ids")
NOT_MODIFIED = {"description": "The caller's copy, named by If-None-Match, is still right"}

ACCESS_RESPONSES: Responses = {
    401: documented_problem("A key is needed: this deployment has CLIENT_KEYS"),
    429: documented_problem("More requests than this deployment's RATE_LIMIT allows; Retry-After says when to retry"),
}
"""What the access middleware may answer in a route's place."""
PARAMETER_RESPONSES: Responses = {422: documented_problem("A parameter is wrong, unknown or given twice")}
STORE_RESPONSES: Responses = {
    **ACCESS_RESPONSES,
    **PARAMETER_RESPONSES,
    503: documented_problem("The store is unavailable, or too many requests wait; Retry-After says when to retry"),
}
CACHEABLE_RESPONSES: Responses = {304: NOT_MODIFIED, **STORE_RESPONSES}
TOP_RESPONSES: Responses = {
    200: {
        "model": TopResponse,
        "content": row_content("Rank,Symbol,Price USD\r\n1,BTC,92311.5\r\n"),
        "description": "The list",
    },
    404: NO_SNAPSHOT,
    406: NOT_ACCEPTABLE,
    **CACHEABLE_RESPONSES,
}
