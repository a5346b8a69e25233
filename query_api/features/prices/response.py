"""The answer to rows: each with a price and what it is made from, or with the reason it has none."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel

from lib.clock import isoformat
from lib.errors import TopcoinsError
from lib.schema import ID
from query_api.asof.absence import NoSnapshot
from query_api.asof.asset import AmbiguousTicker, NoAsset
from query_api.asof.find_pair import PairFound
from query_api.asof.pair import rfc3339
from query_api.features.prices.rows import BadAsset, BadTime, Row
from query_api.features.prices.work import Priced
from query_api.http.content_type import Format
from query_api.http.formats import frame_to_csv, frame_to_ndjson
from query_api.http.json_line import json_line
from query_api.http.parquet_files import metadata, with_times

Reason = Literal["bad_time", "bad_asset", "no_snapshot", "unknown_asset", "ambiguous_ticker"]
REASONS: Mapping[type[TopcoinsError], Reason] = {
    BadTime: "bad_time",
    BadAsset: "bad_asset",
    NoSnapshot: "no_snapshot",
    NoAsset: "unknown_asset",
    AmbiguousTicker: "ambiguous_ticker",
}


class Candidate(BaseModel):
    """An asset that has the ticker at `price_time`."""

    cmc_id: int
    symbol: str
    name: str | None
    source_rank: int | None


class PriceRow(BaseModel):
    """One row, in the order of the request: `time` and `asset` as they were sent, and the price, or an error.

    The snapshots are those of the list as of `requested_at`; neither is later. A row with the error `unknown_asset` or
    `ambiguous_ticker` has their times too.
    """

    time: str | int | float | None
    asset: str | int | None
    requested_at: datetime | None
    cmc_id: int | None
    symbol: str | None
    name: str | None
    price_usd: float | None
    price_updated_at: datetime | None
    price_time: datetime | None
    price_age_s: float | None
    price_source: str | None
    price_backfilled: bool | None
    rank_time: datetime | None
    rank_source: str | None
    resolution: Literal["1m", "1h"] | None
    error: Reason | None
    detail: str | None
    candidates: list[Candidate] | None


class PricesAnswer(BaseModel):
    """The rows, how many have a price, and how many have which error. Sent as a parameter, `known_at` repeats it."""

    known_at: datetime
    count: int
    answered: int
    errors: dict[str, int]
    data: list[PriceRow]


_TYPES: dict[str, pl.DataType] = {
    **dict.fromkeys(PriceRow.model_fields, pl.String()),
    **{ID: pl.Int64(), "price_usd": pl.Float64(), "price_age_s": pl.Float64(), "price_backfilled": pl.Boolean()},
}
del _TYPES["candidates"]
TIMES = ("requested_at", "price_updated_at", "price_time", "rank_time")


def answer_rows(rows: Iterable[Row], priced: Iterable[Priced]) -> list[dict[str, Any]]:
    """Each row with its answer; `priced` are those of the rows that ask for something clear, in order."""
    answers = iter(priced)
    return [_answer(row, None if isinstance(row.wanted, TopcoinsError) else next(answers)) for row in rows]


def to_json(rows: Sequence[Mapping[str, Any]], known_at: datetime) -> bytes:
    """The answer as JSON."""
    errors = Counter(row["error"] for row in rows if row["error"])
    counts = {"count": len(rows), "answered": len(rows) - errors.total(), "errors": errors}
    return json_line({"known_at": isoformat(known_at), **counts, "data": rows})


def to_rows(rows: Sequence[Mapping[str, Any]], known_at: datetime, format: Format) -> bytes:
    """The rows alone; the candidates of a ticker are in its `detail`."""
    columns = {name: [row[name] for row in rows] for name in _TYPES}
    for name in ("time", "asset"):
        columns[name] = [value if value is None else str(value) for value in columns[name]]
    frame = pl.DataFrame(columns, _TYPES)
    if format == "csv":
        return frame_to_csv(frame)
    if format == "ndjson":
        return frame_to_ndjson(frame)
    file = io.BytesIO()
    with_times(frame, TIMES).write_parquet(file, metadata=metadata({"known_at": isoformat(known_at)}))
    return file.getvalue()


def _answer(row: Row, priced: Priced | None) -> dict[str, Any]:
    answer = dict.fromkeys(PriceRow.model_fields) | {"time": row.time, "asset": row.asset}
    found = priced.found if priced else row.wanted
    if isinstance(found, TopcoinsError):
        answer |= {"error": REASONS[type(found)], "detail": str(found)}
    elif isinstance(found, Mapping):
        answer |= _values(found)
    if isinstance(found, AmbiguousTicker):
        answer["candidates"] = found.candidates
    if priced:
        answer["requested_at"] = isoformat(priced.basis.at)
    if priced and isinstance(priced.basis, PairFound):
        answer |= _basis(priced.basis)
    return answer


def _values(stored: Mapping[str, Any]) -> dict[str, Any]:
    updated_at = rfc3339(pl.Series([stored["updated_at"]], dtype=pl.Float64()))[0]
    named = {name: stored[name] for name in (ID, "symbol", "name")}
    return {**named, "price_usd": stored["usd"], "price_updated_at": updated_at}


def _basis(basis: PairFound) -> dict[str, Any]:
    price, rank = basis.pair.price, basis.pair.rank
    return {
        "price_time": isoformat(price.tick),
        "price_age_s": (basis.at - price.tick).total_seconds(),
        "price_source": price.source,
        "price_backfilled": price.backfilled,
        "rank_time": isoformat(rank.tick),
        "rank_source": rank.source,
        "resolution": basis.resolution,
    }
