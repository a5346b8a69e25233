"""The frame of every ticker and name an asset had: what `Store.asset_names` returns."""

from collections.abc import Iterable

import polars as pl

from lib.schema import ID, PRICE
from lib.times import TIME

COLUMNS = {ID: pl.Int64(), **dict.fromkeys(PRICE.tags, pl.String()), "first": TIME, "last": TIME}


def merged_names(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The same names as one row each, from the first to the last of their times."""
    keys = [ID, *PRICE.tags]
    every = pl.concat([pl.DataFrame(schema=COLUMNS), *(frame.select(*COLUMNS) for frame in frames)])
    return every.group_by(keys).agg(pl.col("first").min(), pl.col("last").max()).sort(keys)
