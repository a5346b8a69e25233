"""The tables of rows: one for each series, clustered by (tick, tier, cmc_id)."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import polars as pl

from lib import schema
from lib.schema import ID, TIER, Series
from lib.store.sqlite.database import Database
from lib.text import is_plain

_TYPES = {pl.Int64: "INTEGER", pl.Int8: "INTEGER", pl.String: "TEXT", pl.Float64: "REAL"}
_ALL_TIERS = range(len(schema.TIER_PLACES) + 1)


class Rows:
    """Reads and writes the rows of one file. A column that a table lacks reads as null."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns: dict[str, frozenset[str]] = {}

    def at(
        self,
        series: Series,
        tick: int,
        tiers: range | None,
        ids: Collection[int] | None,
        tickers: Collection[str] | None,
    ) -> pl.DataFrame:
        """The selected rows of a tick, by id."""
        if not self._has_fields(series):
            return series.empty()
        select = f"{self._select(series, tiers, ids, tickers)} ORDER BY {ID}"
        found = self._database.execute(select, (tick,)).fetchall()
        if not found:
            return series.empty()
        # By column, this takes a quarter less than by row.
        return pl.DataFrame(
            [
                pl.Series(name, values, kind)
                for (name, kind), values in zip(series.columns.items(), zip(*found, strict=True), strict=True)
            ]
        )

    def of_asset(self, series: Series, cmc_id: int, ticks: Iterable[int]) -> pl.DataFrame:
        """One asset's rows at these ticks, with a column `tick` before the others."""
        found: list[Any] = []
        if self._has_fields(series):
            select = self._select(series, None, [cmc_id], None)
            for tick in ticks:
                found += [(tick, *row) for row in self._database.execute(select, (tick,))]
        rows = pl.DataFrame(found, schema={"tick": pl.Int64(), **series.columns}, orient="row")
        return rows.with_columns(pl.from_epoch("tick").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))

    def insert(self, series: Series, tick: int, rows: pl.DataFrame) -> None:
        """Add a snapshot's rows, in the caller's transaction."""
        self._make_table(series)
        names = ", ".join(f'"{name}"' for name in series.columns)
        places = ", ".join("?" * len(series.columns))
        # The tick is part of the statement: adding it to each row would cost as much as the insert itself.
        self._database.connection.executemany(
            f'INSERT INTO "{series.name}" (tick, {names}) VALUES ({tick:d}, {places})', rows.iter_rows()
        )

    def delete(self, series: Series, ticks: Iterable[int]) -> None:
        """Delete the rows of these ticks, in the caller's transaction."""
        self._database.connection.executemany(
            f'DELETE FROM "{series.name}" WHERE tick = ?', ((tick,) for tick in ticks)
        )

    def _make_table(self, series: Series) -> None:
        """Create the table, or add the columns that an older file's table lacks."""
        existing = self._columns_of(series)
        columns = {name: _TYPES[type(kind)] for name, kind in series.columns.items()}
        if existing:
            self._database.add_columns(series.name, columns)
            return
        declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        self._database.execute(
            f'CREATE TABLE "{series.name}" (tick INTEGER, {declared}, PRIMARY KEY (tick, {TIER}, {ID})) WITHOUT ROWID'
        )

    def _select(
        self, series: Series, tiers: range | None, ids: Collection[int] | None, tickers: Collection[str] | None
    ) -> str:
        existing = self._columns_of(series)
        names = ", ".join(f'"{name}"' if name in existing else "NULL" for name in series.columns)
        has_value = " OR ".join(f'"{name}" IS NOT NULL' for name in series.fields if name in existing)
        # All tiers are named where none is asked for: the key (tick, tier, id) then leads to the ids.
        numbers = ", ".join(map(str, _ALL_TIERS if tiers is None else tiers))
        where = f"tick = ? AND {TIER} IN ({numbers}) AND ({has_value})"
        if named := _named(ids, tickers):
            where += f" AND ({named})"
        return f'SELECT {names} FROM "{series.name}" WHERE {where}'

    def _has_fields(self, series: Series) -> bool:
        return not self._columns_of(series).isdisjoint(series.fields)

    def _columns_of(self, series: Series) -> frozenset[str]:
        """The columns of the series' table. Another process may have added some since the last look."""
        known = self._columns.get(series.name, frozenset())
        if not known >= series.columns.keys():
            known = self._columns[series.name] = self._database.columns(series.name)
        return known


def _named(ids: Collection[int] | None, tickers: Collection[str] | None) -> str:
    """The condition for one of these ids or tickers. Of tickers only letters and digits enter a statement."""
    either = []
    if ids is not None:
        either.append(f"{ID} IN ({', '.join(str(int(id_)) for id_ in ids)})")
    if tickers is not None:
        if not all(map(is_plain, tickers)):
            return ""
        # Of letters that are not ASCII, `lower` knows no case.
        plain = ", ".join(f"'{ticker.lower()}'" for ticker in tickers)
        either.append(f"lower(symbol) IN ({plain}) OR symbol GLOB '*[^ -~]*'")
    return " OR ".join(either)


def as_second(at: datetime) -> int:
    """A tick as the store's key: whole epoch seconds."""
    return int(at.timestamp())
