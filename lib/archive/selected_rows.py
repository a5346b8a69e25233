"""The rows that a `Selection` wants, as an expression for files and as a mask for rows in memory."""

from collections.abc import Collection
from datetime import datetime
from typing import Unpack

import numpy as np
import polars as pl

from lib.archive.tables import TICK
from lib.schema import ID, TIER, Series
from lib.store import Selection
from lib.text import search_key


def selected(series: Series, **selection: Unpack[Selection]) -> pl.Expr:
    """The rows of `Selection` that have a value."""
    where = pl.any_horizontal(pl.col(name).is_not_null() for name in series.fields)
    tiers, ids, tickers = selection.get("tiers"), selection.get("ids"), selection.get("tickers")
    if tiers is not None:
        where = where & (pl.col(TIER) >= tiers.start) & (pl.col(TIER) < tiers.stop)
    named = [] if ids is None else [pl.col(ID).is_in([int(id_) for id_ in ids])]
    if tickers is not None:
        named.append(pl.col("symbol").str.to_lowercase().is_in([search_key(ticker) for ticker in tickers]))
    return where & pl.any_horizontal(named) if named else where


def by_tick(frame: pl.DataFrame) -> dict[datetime, pl.DataFrame]:
    """The rows of each tick, by id."""
    ticks: dict[datetime, pl.DataFrame] = {}
    for (tick,), rows in frame.sort(TICK, ID).partition_by(TICK, as_dict=True, include_key=False).items():
        assert isinstance(tick, datetime)
        ticks[tick] = rows
    return ticks


def among(rows: pl.DataFrame, tiers: range | None, ids: Collection[int] | None) -> pl.DataFrame:
    """Rows of some tiers or ids. For a few thousand rows, planning a filter takes longer than the filter."""
    mask = np.ones(len(rows), dtype=np.bool_)
    if tiers is not None:
        mask &= (rows[TIER].to_numpy() >= tiers.start) & (rows[TIER].to_numpy() < tiers.stop)
    if ids is not None:
        mask &= np.isin(rows[ID].to_numpy(), np.fromiter((int(id_) for id_ in ids), np.int64))
    return rows[np.flatnonzero(mask)]
