"""The table of markers."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from lib import schema
from lib.clock import EPOCH, SECOND, Clock, from_epoch
from lib.snapshot import MARKER_KINDS, WITHDRAWAL, Marker, StoredTick, marker_of
from lib.store import Steps
from lib.store.sqlite.database import Database

TABLE = schema.MARKER
_SQL = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL", datetime: "REAL", timedelta: "REAL"}
_TYPES = {name: _SQL[kind] for name, kind in MARKER_KINDS.items()} | {"tick": "INTEGER"}
_ADDED = ("hash", "stored_at", "withdrawn_at", "restored_at", "withdrawn_why", "new_level")
"""The columns that the table of an earlier version may lack. A table that lacks others is not ours."""
SEALED = "sealed"
"""1 for a tick that is in the archive with the same content. It is no part of the marker."""
_COLUMNS = ", ".join(_TYPES)
_CREATE = f"""CREATE TABLE IF NOT EXISTS "{TABLE}" ({", ".join(f"{name} {kind}" for name, kind in _TYPES.items())},
  PRIMARY KEY (series, tick)) WITHOUT ROWID"""
_INDEX = f'CREATE INDEX IF NOT EXISTS "{TABLE}_tick" ON "{TABLE}" (tick, series)'
"""The key begins with the series: without this index a query for all series reads every marker ever stored."""
_OLD_TICKS_INDEX = f'DROP INDEX IF EXISTS "{TABLE}_of_tick"'
_TICKS_INDEX = f"""CREATE INDEX IF NOT EXISTS "{TABLE}_ticks" ON "{TABLE}" (series, tick, interval, backfilled,
  withdrawn_at, restored_at, stored_at, observed_at, duration, source)"""
"""Has all that a query for ticks reads. The table's pages have the ids too, a kilobyte and more for each tick."""
_INSERT = f'INSERT INTO "{TABLE}" ({_COLUMNS}) VALUES ({", ".join("?" * len(_TYPES))})'
_UPDATE = f'UPDATE "{TABLE}" SET {", ".join(f"{name} = ?" for name in WITHDRAWAL)} WHERE series = ? AND tick = ?'
_MARK = f"""UPDATE "{TABLE}" SET {SEALED} = 1 WHERE series = ? AND tick = ? AND {SEALED} IS NULL
  AND ifnull(hash, '') IN ('', ?)"""
_FOREVER = 253_402_300_799
"""The last second of the year 9999."""
_ANSWERS = "withdrawn_at IS NULL OR restored_at IS NOT NULL"
_KNOWN = "source, ifnull(stored_at, observed_at + duration), withdrawn_at, restored_at"
_TICKS = f"""SELECT tick, withdrawn_at IS NULL OR withdrawn_at > :known OR restored_at <= :known FROM "{TABLE}"
  WHERE series = :series AND tick BETWEEN :start AND :stop AND ifnull(stored_at, observed_at + duration) <= :known
  ORDER BY tick"""


class Markers:
    """Reads and writes the markers of one file. Makes the table, and what files of earlier versions lack of it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(_CREATE)
        database.add_columns(TABLE, {name: _TYPES[name] for name in _ADDED} | {SEALED: "INTEGER"})
        database.execute(_INDEX)
        database.execute(_TICKS_INDEX)
        database.execute(_OLD_TICKS_INDEX)

    def between(self, start: datetime, stop: datetime, series: str | None) -> list[Marker]:
        """The markers with start <= tick <= stop, of one series or of all, oldest first."""
        span = "tick BETWEEN ? AND ? ORDER BY tick, series"
        if series is None:
            return self._select(span, start.timestamp(), stop.timestamp())
        return self._select(f"series = ? AND {span}", series, start.timestamp(), stop.timestamp())

    def at(self, series: str, tick: int) -> Marker | None:
        """The marker of one tick."""
        return next(iter(self._select("series = ? AND tick = ?", series, tick)), None)

    def last(self, series: str, at: datetime) -> Marker | None:
        """The newest marker with tick <= at."""
        newest = self._select("series = ? AND tick <= ? ORDER BY tick DESC LIMIT 1", series, at.timestamp())
        return next(iter(newest), None)

    def first(self, series: str) -> Marker | None:
        """The oldest marker."""
        return next(iter(self._select("series = ? ORDER BY tick LIMIT 1", series)), None)

    def ticks(self, series: str, start: datetime, stop: datetime, known_at: datetime | None) -> dict[int, bool]:
        """The ticks visible at `known_at` with start <= tick <= stop, oldest first, and whether each answers."""
        known = known_at.timestamp() if known_at else _FOREVER
        span = {"series": series, "start": start.timestamp(), "stop": stop.timestamp()}
        return dict(self._database.execute(_TICKS, {"known": known, **span}))

    def stored_ticks(
        self, series: str, start: datetime, stop: datetime, near: Steps | None, *, known: bool
    ) -> list[StoredTick]:
        """The ticks with start <= tick <= stop, oldest first. See `WantedTicks`."""
        values = [series, start.timestamp(), stop.timestamp()]
        where = "series = ? AND tick BETWEEN ? AND ?"
        if near:
            every = int(near.every.total_seconds())
            where += f" AND ((? - tick) % {every} + {every}) % {every} < 60"
            values.append(near.first.timestamp())
        names = f"tick, interval, backfilled, {_ANSWERS}{f', {_KNOWN}' if known else ''}"
        ticks = self._database.execute(f'SELECT {names} FROM "{TABLE}" WHERE {where} ORDER BY tick', values)
        return [
            StoredTick(
                EPOCH + tick * SECOND,
                interval * SECOND,
                bool(backfilled),
                not answers,
                *rest[:1],
                *map(_as_time, rest[1:]),
            )
            for tick, interval, backfilled, answers, *rest in ticks
        ]

    def insert(self, marker: Marker) -> None:
        """Add a marker, in the caller's transaction."""
        self._database.execute(_INSERT, [_as_number(getattr(marker, name)) for name in _TYPES])

    def change(
        self, series: str, start: datetime, stop: datetime, change: Callable[[Marker, datetime], Marker], clock: Clock
    ) -> list[datetime]:
        """Store what a withdrawal or its undoing changes of a span's markers; the ticks of those that it changes.

        The time is read with the lock: what is seen before the change must not be stamped after it.
        """
        with self._database.transaction():
            now = clock()
            changed = [new for old in self.between(start, stop, series) if (new := change(old, now)) != old]
            for marker in changed:
                values = [_as_number(getattr(marker, name)) for name in WITHDRAWAL]
                self._database.execute(_UPDATE, [*values, marker.series, _as_number(marker.tick)])
        return [marker.tick for marker in changed]

    def mark_sealed(self, series: str, hashes: Mapping[int, str]) -> None:
        """Mark the ticks that the archive has with the content of their markers."""
        with self._database.transaction():
            self._database.connection.executemany(_MARK, ((series, tick, hashed) for tick, hashed in hashes.items()))

    def _select(self, where: str, *values: object) -> list[Marker]:
        rows = self._database.execute(f'SELECT {_COLUMNS} FROM "{TABLE}" WHERE {where}', values)
        return [marker_of(dict(zip(_TYPES, row, strict=True))) for row in rows]


def _as_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else from_epoch(seconds)


def _as_number(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return value.total_seconds() if isinstance(value, timedelta) else value
