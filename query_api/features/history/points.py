"""The points of a history as columns: what each step shows of its pair, and of the asset's rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import polars as pl
from pydantic import BaseModel

from lib.times import TIME, as_text, times
from query_api.asof.pair import LAST_SECOND
from query_api.features.history.step_pairs import Pairs


class Point(BaseModel):
    """One step: of the newest pair whose price tick lies in (at - every, at], with the ticks' own times and sources.

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
    price_source: str | None
    rank_source: str | None
    price_updated_at: datetime | None
    resolution: Literal["1m", "1h"] | None
    filled: bool


TIMES = ("at", "price_time", "rank_time", "price_updated_at")
"""The columns that are RFC 3339 texts."""
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(Point.model_fields, pl.String()),
    **dict.fromkeys(("price_usd", "volume_24h_usd"), pl.Float64()),
    "source_rank": pl.Int64(),
    "filled": pl.Boolean(),
}
COLUMNS = tuple(SCHEMA)
NAME = "name"
IS_GAP = "is_gap"
_OF_PAIR = ("price_time", "rank_time", "price_source", "rank_source", "resolution")
_OF_ASSET = ("price_usd", "volume_24h_usd", "source_rank", "price_updated_at", "symbol", NAME)


def points_of(
    steps: Sequence[datetime], shown: Pairs, pairs: Pairs, price: pl.DataFrame, rank: pl.DataFrame, horizon: datetime
) -> pl.DataFrame:
    """Of each step a row of `SCHEMA`, the asset's name, and whether it is a gap: it has no pair of its own.

    Without the asset a filled point is empty; one that is not filled shows the times of the pair that it shows.
    """
    frame = pl.DataFrame(
        {"at": times(steps), IS_GAP: pl.Series([pair is None for pair in pairs], dtype=pl.Boolean)}
    ).with_row_index("step")
    price = price.select(pl.col("tick").alias("price_time"), "symbol", NAME, "usd", "updated_at", priced=True)
    rank = rank.select(pl.col("tick").alias("rank_time"), "rank", "volume_usd", ranked=True)
    joined = frame
    for table, on in ((_pairs_frame(shown), "step"), (price, "price_time"), (rank, "rank_time")):
        joined = joined.join(table, on=on, how="left", maintain_order="left")
    there = (pl.col("priced") & pl.col("ranked")).fill_null(False)
    is_shown = pl.col("price_time").is_not_null() & (there | ~pl.col(IS_GAP))
    updated = pl.when(pl.col("updated_at").is_between(0, LAST_SECOND)).then("updated_at").cast(pl.Int64)
    values = joined.with_columns(
        pl.col("usd").alias("price_usd"),
        pl.col("volume_usd").alias("volume_24h_usd"),
        pl.col("rank").cast(pl.Int64).alias("source_rank"),
        (updated * 1_000_000).cast(TIME).alias("price_updated_at"),
        pl.when(pl.col("price_time") < horizon).then(pl.lit("1h")).otherwise(pl.lit("1m")).alias("resolution"),
        (pl.col(IS_GAP) & is_shown).alias("filled"),
    )
    shown_only = [pl.when(is_shown).then(name).alias(name) for name in _OF_PAIR]
    of_asset = [pl.when(there).then(name).alias(name) for name in _OF_ASSET]
    return values.with_columns(*shown_only, *of_asset).select(
        *(as_text(pl.col(name)).alias(name) if name in TIMES else name for name in SCHEMA), NAME, IS_GAP
    )


def _pairs_frame(pairs: Pairs) -> pl.DataFrame:
    """The ticks and sources of the steps that have a pair."""
    known = [(step, pair) for step, pair in enumerate(pairs) if pair]
    return pl.DataFrame(
        {
            "step": pl.Series([step for step, _ in known], dtype=pl.UInt32),
            "price_time": times([pair.price.tick for _, pair in known]),
            "rank_time": times([pair.rank.tick for _, pair in known]),
            "price_source": pl.Series([pair.price.source for _, pair in known], dtype=pl.String),
            "rank_source": pl.Series([pair.rank.source for _, pair in known], dtype=pl.String),
        }
    )
