"""The tables of rows: one for each series, clustered by (tick, tier, cmc_id)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Unpack

import polars as pl

from lib import schema
from lib.schema import ID, TIER, Series
from lib.snapshot import parts_of
from lib.store import Selection
from lib.store.sqlite.database import Database
from lib.store.sqlite.tag_sets import NUMBER, Tags, TagSets
from lib.text import is_plain

_TYPES = {pl.Int64: "INTEGER", pl.Int8: "INTEGER", pl.String: "TEXT", pl.Float64: "REAL"}
Found = Sequence[tuple[Any, ...]]
_ALL_TIERS = range(len(schema.TIER_PLACES) + 1)


class Rows:
    """Reads and writes the rows of one file. A column that a table lacks reads as null.

    In files of earlier versions rows have their tags themselves; `convert` changes that.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns: dict[str, frozenset[str]] = {}
        self._tag_sets = TagSets(database)
        self._looked_at: dict[str, int] = {}
        self._converted_all: set[str] = set()

    def at_each(self, series: Series, ticks: Sequence[int], **selection: Unpack[Selection]) -> list[pl.DataFrame]:
        """The selected rows of each tick, by id. One frame is made of all: a frame costs as much as 200 rows."""
        series = series.only(selection.get("fields"))
        if not self._has_fields(series):
            return [series.empty()] * len(ticks)
        select = f"{self._select(series, **selection)} ORDER BY {ID}"
        reads = [self._database.execute(select, (tick,)).fetchall() for tick in ticks]
        return parts_of(self._frame(series, reads), map(len, reads))

    def of_asset(self, series: Series, cmc_id: int, ticks: Iterable[int]) -> pl.DataFrame:
        """One asset's rows at these ticks, with a column `tick` before the others."""
        reads: list[Found] = []
        its_ticks: list[int] = []
        if self._has_fields(series):
            select = self._select(series, ids=[cmc_id])
            for tick in ticks:
                reads.append(self._database.execute(select, (tick,)).fetchall())
                its_ticks += [tick] * len(reads[-1])
        at = pl.from_epoch(pl.Series("tick", its_ticks, pl.Int64)).dt.cast_time_unit("us").dt.replace_time_zone("UTC")
        return self._frame(series, reads).insert_column(0, at)

    def insert(self, series: Series, tick: int, rows: pl.DataFrame) -> None:
        """Add a snapshot's rows, in the caller's transaction."""
        self._make_table(series)
        if series.tags:
            numbers = self._tag_sets.numbers(series, rows.select(series.tags).iter_rows())
            rows = rows.with_columns(pl.Series(NUMBER, numbers, pl.Int64)).drop(series.tags)
        names = ", ".join(f'"{name}"' for name in rows.columns)
        places = ", ".join("?" * len(rows.columns))
        # The tick is part of the statement: adding it to each row would cost as much as the insert itself.
        self._database.connection.executemany(
            f'INSERT INTO "{series.name}" (tick, {names}) VALUES ({tick:d}, {places})', rows.iter_rows()
        )

    def delete(self, series: Series, ticks: Iterable[int]) -> None:
        """Delete the rows of these ticks, in the caller's transaction."""
        self._database.connection.executemany(
            f'DELETE FROM "{series.name}" WHERE tick = ?', ((tick,) for tick in ticks)
        )

    def next_old(self, series: Series) -> int | None:
        """The next tick, oldest first, whose rows have their tags themselves, as earlier versions wrote them."""
        if series.name in self._converted_all or not self._has_own_tags(series):
            return None
        following = f'SELECT tick, "{NUMBER}" IS NULL FROM "{series.name}" WHERE tick > ? ORDER BY tick LIMIT 1'
        while found := self._database.execute(following, (self._looked_at.get(series.name, -1),)).fetchone():
            self._looked_at[series.name] = int(found[0])
            if found[1]:
                return int(found[0])
        self._converted_all.add(series.name)
        return None

    def convert(self, series: Series, tick: int) -> int:
        """Give the rows of an old tick the numbers of their tags, in a transaction of its own; how many they are.

        Rows are deleted and inserted: an update would leave the pages half empty.
        """
        select = f"{_select_all(series, self._columns_of(series))} WHERE tick = ?"
        rows = self._frame(series, [self._database.execute(select, (tick,)).fetchall()])
        self.delete(series, [tick])
        self.insert(series, tick, rows)
        return len(rows)

    def _frame(self, series: Series, reads: Iterable[Found]) -> pl.DataFrame:
        """Rows with the columns of `_names`, as one frame."""
        names = _names(series, self._columns_of(series))
        values: list[list[Any]] = [[] for _ in names]
        for rows in filter(None, reads):
            # By column, this takes a quarter less than by row; turning thousands of rows at once takes far more.
            for column, some in zip(values, zip(*rows, strict=True), strict=True):
                column.extend(some)
        if not values[0]:
            return series.empty()
        columns: dict[str, Sequence[Any]] = dict(zip(names, values, strict=True))
        if series.tags:
            columns |= zip(series.tags, zip(*self._tags(series, columns), strict=True), strict=True)
        return pl.DataFrame([pl.Series(name, columns[name], kind) for name, kind in series.columns.items()])

    def _tags(self, series: Series, columns: Mapping[str, Sequence[Any]]) -> Sequence[Tags]:
        """The tags of rows, by their number. A row without a number has them itself."""
        numbers = columns[NUMBER]
        if None not in numbers:
            return self._tag_sets.tags(series, numbers)
        own = zip(*(columns[name] for name in series.tags), strict=True)
        known = iter(self._tag_sets.tags(series, [number for number in numbers if number is not None]))
        return [tags if number is None else next(known) for number, tags in zip(numbers, own, strict=True)]

    def _make_table(self, series: Series) -> None:
        """Create the table, or add the columns that an older file's table lacks."""
        columns = {name: _TYPES[type(kind)] for name, kind in series.columns.items() if name not in series.tags}
        if series.tags:
            columns[NUMBER] = "INTEGER"
            self._tag_sets.make(series)
        if self._database.columns(series.name):
            self._database.add_columns(series.name, columns)
            return
        declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        self._database.execute(
            f'CREATE TABLE "{series.name}" (tick INTEGER, {declared}, PRIMARY KEY (tick, {TIER}, {ID})) WITHOUT ROWID'
        )

    def _select(self, series: Series, **selection: Unpack[Selection]) -> str:
        # All tiers are named where none is asked for: the key (tick, tier, id) then leads to the ids.
        tiers = selection.get("tiers")
        select = _select_tiers(series, self._columns_of(series), _ALL_TIERS if tiers is None else tiers)
        named = self._named(series, **selection)
        return f"{select} AND ({named})" if named else select

    def _named(self, series: Series, **selection: Unpack[Selection]) -> str:
        """The condition for one of these ids or tickers. Of tickers only letters and digits enter a statement."""
        ids, tickers = selection.get("ids"), selection.get("tickers")
        either = [] if ids is None else [f"{ID} IN ({_listed(ids)})"]
        if tickers is not None:
            if not all(map(is_plain, tickers)):
                return ""
            if NUMBER in self._columns_of(series):
                either.append(f'"{NUMBER}" IN ({_listed(self._tag_sets.with_ticker(series, tickers))})')
            if self._has_own_tags(series):
                # Of letters that are not ASCII, `lower` knows no case.
                plain = ", ".join(f"'{ticker.lower()}'" for ticker in tickers)
                either.append(f"lower(symbol) IN ({plain}) OR symbol GLOB '*[^ -~]*'")
        return " OR ".join(either)

    def _has_own_tags(self, series: Series) -> bool:
        return not self._columns_of(series).isdisjoint(series.tags)

    def _has_fields(self, series: Series) -> bool:
        return not self._columns_of(series).isdisjoint(series.fields)

    def _columns_of(self, series: Series) -> frozenset[str]:
        """The columns of the series' table. Another process may have added some since the last look."""
        known = self._columns.get(series.name, frozenset())
        needed = {ID, TIER, *series.fields, *((NUMBER,) if series.tags else ())}
        if not known >= needed:
            known = self._columns[series.name] = self._database.columns(series.name)
        return known


@lru_cache(64)
def _select_tiers(series: Series, existing: frozenset[str], tiers: range) -> str:
    """The rows of a tick and of these tiers that have a value, from a table with these columns."""
    has_value = " OR ".join(f'"{name}" IS NOT NULL' for name in series.fields if name in existing)
    return f"{_select_all(series, existing)} WHERE tick = ? AND {TIER} IN ({_listed(tiers)}) AND ({has_value})"


def _select_all(series: Series, existing: frozenset[str]) -> str:
    names = ", ".join(f'"{name}"' if name in existing else "NULL" for name in _names(series, existing))
    return f'SELECT {names} FROM "{series.name}"'


@lru_cache(64)
def _names(series: Series, existing: frozenset[str]) -> list[str]:
    """The columns that are read: of a file of an earlier version, also those of the tags."""
    own_tags = () if existing.isdisjoint(series.tags) else series.tags
    return [ID, TIER, *series.fields, *((NUMBER,) if series.tags else ()), *own_tags]


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(str(int(number)) for number in numbers)


def as_second(at: datetime) -> int:
    """A tick as the store's key: whole epoch seconds."""
    return int(at.timestamp())
