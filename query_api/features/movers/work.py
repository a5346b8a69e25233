"""Who moved between two instants: two top lists, each as of its own, side by side. Pure frames in, frames out."""

from typing import Literal, get_args

import polars as pl
from pydantic import BaseModel

from lib.schema import ID

Move = Literal["stayed", "entered", "left"]


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


COLUMNS = tuple(Mover.model_fields)
MOVES = get_args(Move)
_VALUES = {
    "rank_{}": "rank",
    "source_rank_{}": "source_rank",
    "price_{}_usd": "price_usd",
    "volume_24h_{}_usd": "volume_24h_usd",
}


def movers(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Everyone on either list, by the later rank, then those that left by the earlier one.

    What is not known of one side is null and never 0. A positive `rank_change` is a climb.
    """
    both = _side(before, "from").join(_side(after, "to"), on=ID, how="full", coalesce=True)
    was, is_ = pl.col("rank_from"), pl.col("rank_to")
    move = pl.when(was.is_null()).then(pl.lit("entered")).when(is_.is_null()).then(pl.lit("left"))
    return (
        both.with_columns(
            symbol=pl.when(is_.is_null()).then("symbol_from").otherwise("symbol_to"),
            name=pl.when(is_.is_null()).then("name_from").otherwise("name_to"),
            move=move.otherwise(pl.lit("stayed")),
            rank_change=was - is_,
            price_change_pct=_change("price_{}_usd"),
            volume_24h_change_pct=_change("volume_24h_{}_usd"),
        )
        .sort("rank_to", "rank_from", nulls_last=True)
        .select(*COLUMNS)
    )


def _side(rows: pl.DataFrame, side: str) -> pl.DataFrame:
    values = [pl.col(name).alias(called.format(side)) for called, name in _VALUES.items()]
    return rows.select(ID, *(pl.col(name).alias(f"{name}_{side}") for name in ("symbol", "name")), *values)


def _change(called: str) -> pl.Expr:
    """In percent; null where there is nothing to compare with, or it was 0."""
    before, after = pl.col(called.format("from")), pl.col(called.format("to"))
    change = (after / before - 1) * 100
    return pl.when((before > 0) & change.is_finite()).then(change)
