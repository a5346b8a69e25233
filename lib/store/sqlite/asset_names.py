"""The table of every ticker and name an asset ever had. Retention deletes nothing from it."""

import polars as pl

from lib.clock import HOUR_S
from lib.schema import ID, PRICE
from lib.store import NAME_COLUMNS
from lib.store.sqlite.database import Database
from lib.times import TIME

TABLE = "asset names"
"""No series can have this name, for it has a space."""
_TIMES = ("first", "last")
_CREATE = f"""CREATE TABLE "{TABLE}" ({ID} INTEGER, symbol TEXT, name TEXT, first INTEGER, last INTEGER,
  PRIMARY KEY ({ID}, symbol, name)) WITHOUT ROWID"""
_FILL = f"""INSERT INTO "{TABLE}" SELECT {ID}, ifnull(symbol, ''), ifnull(name, ''), min(tick), max(tick)
  FROM "{PRICE.name}" WHERE tick IN (SELECT min(tick) FROM snapshot WHERE series = '{PRICE.name}'
  GROUP BY tick / 86400 UNION SELECT max(tick) FROM snapshot WHERE series = '{PRICE.name}') GROUP BY 1, 2, 3"""
"""For a file of an earlier version: from the first list of each day, and from the newest."""
_RECORD = f"""INSERT INTO "{TABLE}" VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
  SET first = min(first, excluded.first), last = max(last, excluded.last)
  WHERE excluded.first < first OR excluded.last >= last + {HOUR_S}"""
_SINCE = f'SELECT {ID}, symbol, name, first, last FROM "{TABLE}" WHERE {ID} > 0 AND last >= ?'
"""Reads along the key: the table has a few rows for each asset there ever was."""


class AssetNames:
    """Reads and writes the names of one file. Makes the table, and fills it from what an older file has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        if database.columns(TABLE):
            return
        with database.transaction():
            if not database.columns(TABLE):  # another process may have been quicker
                database.execute(_CREATE)
                if database.columns(PRICE.name).issuperset(PRICE.tags):
                    database.execute(_FILL)

    def record(self, tick: int, rows: pl.DataFrame) -> None:
        """Note the names in a snapshot of prices, in the caller's transaction. `last` is exact to the hour."""
        names = rows.select(ID, *(pl.col(tag).fill_null("") for tag in PRICE.tags)).iter_rows()
        self._database.connection.executemany(_RECORD, ((*name, tick, tick) for name in names))

    def since(self, tick: int) -> pl.DataFrame:
        """The names with a snapshot at or after a tick, each with the first and the last one that has it."""
        names = self._database.execute(_SINCE, (tick,)).fetchall()
        rows = pl.DataFrame(names, schema=NAME_COLUMNS | dict.fromkeys(_TIMES, pl.Int64()), orient="row")
        times = [(pl.col(name) * 1_000_000).cast(TIME) for name in _TIMES]
        return rows.with_columns(*times, *(pl.col(tag).replace("", None) for tag in PRICE.tags))
