"""The rows that a `Selection` wants, as an expression for files and as a mask for rows in memory."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Unpack

import numpy as np
import polars as pl

from lib.archive.reader import only
from lib.archive.tables import TICK
from lib.clock import EPOCH
from lib.schema import ID, TIER, Series
from lib.snapshot import parts_of
from lib.store import Selection
from lib.text import search_key
from lib.times import microseconds_of, times


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


def by_tick(series: Series, frame: pl.DataFrame) -> dict[datetime, pl.DataFrame]:
    """The rows of each tick that have a value; of several ticks by id, of one in any order."""
    if all(frame[name].null_count() for name in series.fields):
        frame = frame.filter(selected(series))
    ticks = microseconds_of(frame[TICK])
    rows = only(frame, [name for name in frame.columns if name != TICK])
    if len(ticks) and ticks.min() < ticks.max():
        rows = rows[np.lexsort((frame[ID].to_numpy(), ticks))]
    own, counts = np.unique(ticks, return_counts=True)
    each = [EPOCH + timedelta(microseconds=tick) for tick in own.tolist()]
    return dict(zip(each, parts_of(rows, counts.tolist()), strict=True))


def at_ticks(rows: pl.DataFrame, ticks: Sequence[datetime]) -> pl.DataFrame:
    """The rows of these ticks."""
    return rows.filter(pl.col(TICK).is_in(times(ticks).implode()))


def among(rows: pl.DataFrame, **selection: Unpack[Selection]) -> pl.DataFrame:
    """The rows of `Selection`, by id. For a few thousand rows, planning a filter takes longer than the filter."""
    tiers, ids, tickers = selection.get("tiers"), selection.get("ids"), selection.get("tickers")
    mask = np.ones(len(rows), dtype=np.bool_)
    if tiers is not None:
        mask &= (rows[TIER].to_numpy() >= tiers.start) & (rows[TIER].to_numpy() < tiers.stop)
    named = []
    if ids is not None:
        named.append(np.isin(rows[ID].to_numpy(), np.fromiter((int(id_) for id_ in ids), np.int64)))
    if tickers is not None:
        keys = rows["symbol"].str.to_lowercase().is_in([search_key(ticker) for ticker in tickers])
        named.append(keys.fill_null(False).to_numpy())
    if named:
        mask &= np.any(named, axis=0)
    some = np.flatnonzero(mask)
    return rows[some[np.argsort(rows[ID].to_numpy()[some])]]
