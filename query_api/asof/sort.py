"""The order of a list by any of its columns. The rank stays the place by volume."""

from dataclasses import dataclass

import polars as pl

from lib.columns import RANK


@dataclass(frozen=True, slots=True)
class Sort:
    """By a column, ascending or descending; a text in any case. Null is last, and of equals the better rank first."""

    column: str
    descending: bool = False

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows in this order."""
        key = pl.col(self.column)
        if rows.schema[self.column] == pl.String:
            key = key.str.to_lowercase()
        return rows.sort(key, RANK.name, descending=[self.descending, False], nulls_last=True)
