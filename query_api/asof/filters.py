"""Which assets of a list a caller wants, in which order. Every asset that a filter leaves out is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from lib.columns import RANK
from lib.schema import ID
from lib.text import search_key

FLAGS = {"stablecoins": "stablecoin", "wrapped": "wrapped"}
"""The kinds that may be excluded, and the field of a price that marks each."""
CAP = "market_cap_usd"
VOLUME_TO_CAP = "volume_to_cap"
UNKNOWN = "unknown"
REASON = "reason"


@dataclass(frozen=True, slots=True)
class Filtered:
    """How many assets each filter left out, and which names asked for are missing.

    A full list counts what was left out above its last asset; a list shorter than its limit counts everything left out.
    `unknown` counts the assets whose flag or market cap no source reports.
    """

    counts: Mapping[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """Named assets only, without some kinds, without those whose volume is too many times their market cap."""

    exclude: tuple[str, ...] = ()
    max_volume_to_cap: float | None = None
    symbols: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    @property
    def named(self) -> bool:
        """Whether the caller names assets. A shared ticker names all assets that have it."""
        return bool(self.symbols or self.ids)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a price that the filters need."""
        flags = [field for name, field in FLAGS.items() if name in self.exclude]
        return (*flags, *([CAP] if self.max_volume_to_cap is not None else []))

    def named_in(self, price: pl.DataFrame) -> list[int]:
        """The ids of the rows with a ticker asked for, in any case."""
        wanted = {search_key(symbol) for symbol in self.symbols}
        pairs = price.select(ID, "symbol").iter_rows()
        return [id_ for id_, symbol in pairs if symbol and search_key(symbol) in wanted]

    def with_reasons(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with the `reason` each is left out, null for those that pass."""
        conditions = [(pl.col(FLAGS[name]) == 1, name) for name in FLAGS if name in self.exclude]
        if self.max_volume_to_cap is not None:
            conditions.append((pl.col("volume_usd") > pl.col(CAP) * self.max_volume_to_cap, VOLUME_TO_CAP))
        unknown = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_null() for name in self.fields))
        reasons = [pl.when(out).then(pl.lit(name)) for out, name in [*conditions, (unknown, UNKNOWN)]]
        return rows.with_columns(pl.coalesce(reasons).alias(REASON))

    def counts(self, rows: pl.DataFrame) -> Mapping[str, int]:
        """How many of the rows each filter leaves out, 0 included."""
        names = [name for name in FLAGS if name in self.exclude]
        if self.max_volume_to_cap is not None:
            names.append(VOLUME_TO_CAP)
        reasons = rows[REASON].to_list()
        return {name: reasons.count(name) for name in ([*names, UNKNOWN] if names else [])}

    def missing(self, ids: Sequence[int], symbols: Sequence[str | None]) -> tuple[str, ...]:
        """The names asked for that are not among these."""
        present = {search_key(symbol) for symbol in symbols if symbol}
        return (
            *(symbol for symbol in self.symbols if search_key(symbol) not in present),
            *(str(id_) for id_ in self.ids if id_ not in ids),
        )


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Sort:
    """The order by a column, ascending or descending; a text in any case. The rank stays the place by volume.

    Null is last, and of equals the better rank first.
    """

    column: str
    descending: bool = False

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows in this order."""
        key = pl.col(self.column)
        if rows.schema[self.column] == pl.String:
            key = key.str.to_lowercase()
        return rows.sort(key, RANK.name, descending=[self.descending, False], nulls_last=True)
