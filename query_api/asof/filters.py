"""Which assets of a list a caller wants. What is left out is counted; what can't be judged is left out and told so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from lib.schema import ID

FLAGS = {"stablecoins": "stablecoin", "wrapped": "wrapped"}
"""What may be excluded, and the field of a price that tells it."""
CAP = "market_cap_usd"
VOLUME_TO_CAP = "volume_to_cap"
UNKNOWN = "unknown"
REASON = "reason"


@dataclass(frozen=True, slots=True)
class Filtered:
    """How many assets each filter left out above the last one shown, and what was asked for by name and is not there.

    `unknown` counts those whose flag or market cap no source told.
    """

    counts: Mapping[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to: named assets, none of some kinds, none that trade more than so much of their cap."""

    exclude: tuple[str, ...] = ()
    max_volume_to_cap: float | None = None
    symbols: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()

    @property
    def named(self) -> bool:
        """Whether assets are asked for by name. A shared ticker names all that have it."""
        return bool(self.symbols or self.ids)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a price it takes to judge."""
        flags = [field for name, field in FLAGS.items() if name in self.exclude]
        return (*flags, *([CAP] if self.max_volume_to_cap is not None else []))

    def named_in(self, price: pl.DataFrame) -> list[int]:
        """The ids of the rows whose ticker is asked for, in any case."""
        wanted = {symbol.lower() for symbol in self.symbols}
        pairs = price.select(ID, "symbol").iter_rows()
        return [id_ for id_, symbol in pairs if symbol and symbol.lower() in wanted]

    def judged(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with the `reason` each is left out for, null for those that stay."""
        reasons = [(pl.col(FLAGS[name]) == 1, name) for name in FLAGS if name in self.exclude]
        if self.max_volume_to_cap is not None:
            reasons.append((pl.col("volume_usd") > pl.col(CAP) * self.max_volume_to_cap, VOLUME_TO_CAP))
        untold = pl.any_horizontal(pl.lit(False), *(pl.col(name).is_null() for name in self.fields))
        found = [pl.when(out).then(pl.lit(name)) for out, name in [*reasons, (untold, UNKNOWN)]]
        return rows.with_columns(pl.coalesce(found).alias(REASON))

    def counts(self, judged: pl.DataFrame) -> Mapping[str, int]:
        """How many of the rows each filter leaves out, 0 too."""
        asked = [name for name in FLAGS if name in self.exclude]
        if self.max_volume_to_cap is not None:
            asked.append(VOLUME_TO_CAP)
        reasons = judged[REASON].to_list()
        return {name: reasons.count(name) for name in ([*asked, UNKNOWN] if asked else [])}

    def missing(self, ids: Sequence[int], symbols: Sequence[str | None]) -> tuple[str, ...]:
        """The names asked for that are not among these."""
        there = {symbol.lower() for symbol in symbols if symbol}
        return (
            *(symbol for symbol in self.symbols if symbol.lower() not in there),
            *(str(id_) for id_ in self.ids if id_ not in ids),
        )


NO_FILTERS = Filters()
