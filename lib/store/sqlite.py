"""The embedded store: one SQLite file in WAL mode, shared by the three processes. The only home of SQL.

One table per series, clustered by (tick, tier, cmc_id), and one of markers. A snapshot is one transaction.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from lib import schema
from lib.clock import Clock, from_epoch
from lib.errors import StoreMalformed, StoreRejected, StoreUnavailable
from lib.schema import ID, TIER, Series
from lib.snapshot import Marker, Snapshot, StoredTick, first_of_hours, first_ticks_of_hours, known
from lib.store import Resolution, tell_kept

T = TypeVar("T")

RETENTION = timedelta(days=30)
HOUR = 3600
ALL_TIERS = range(len(schema.TIER_PLACES) + 1)
BUSY = timedelta(seconds=10)
"""How long a writer waits for another process's transaction."""

_TYPES = {pl.Int64: "INTEGER", pl.Int8: "INTEGER", pl.String: "TEXT", pl.Float64: "REAL"}
_MARKER = tuple(field.name for field in fields(Marker))
_MARKERS = f"""CREATE TABLE IF NOT EXISTS "{schema.MARKER}" (
  series TEXT, source TEXT, tick INTEGER, assets INTEGER, rejected INTEGER, duplicates INTEGER, duration REAL,
  observed_at REAL, credits REAL, interval REAL, unchanged INTEGER, backfilled INTEGER, ids TEXT, hash TEXT,
  stored_at REAL,
  PRIMARY KEY (series, tick)) WITHOUT ROWID"""
_ADDED = {"hash": "TEXT", "stored_at": "REAL"}
"""Columns of the markers that files of earlier versions lack."""


class SqliteStore:
    """A `Store` in one file. Connects at first use; its work is done in one thread, off the event loop.

    Without `durable` a power cut may take the newest snapshots: for those that can be made again.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        retention: timedelta = RETENTION,
        durable: bool = True,
        busy: timedelta = BUSY,
    ) -> None:
        self._path = path
        self._durable = durable
        self._busy = busy
        self._clock = clock
        self._retention = retention
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
        self._connected: _File | None = None

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`. Old ticks are let go of in the same transaction."""
        await self._do(lambda file: file.write(snapshot, self._clock, self.horizon()))

    async def markers(
        self,
        start: datetime,
        stop: datetime,
        *,
        series: str | None = None,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[Marker]:
        """See `Store.markers`."""
        names = "" if series is None else "series = ? AND "
        found = await self._do(
            lambda file: file.markers(
                f"{names}tick BETWEEN ? AND ? ORDER BY tick, series",
                *([series] if series else []),
                start.timestamp(),
                stop.timestamp(),
            )
        )
        found = known(found, known_at)
        return first_of_hours(found) if resolution == "1h" else found

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        where = "series = ? AND tick <= ? ORDER BY tick DESC LIMIT 1"
        return next(iter(await self._do(lambda file: file.markers(where, series, at.timestamp()))), None)

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        where = "series = ? ORDER BY tick LIMIT 1"
        return next(iter(await self._do(lambda file: file.markers(where, series))), None)

    async def rows(
        self,
        series: Series,
        tick: datetime,
        *,
        tiers: range | None = None,
        ids: Collection[int] | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> pl.DataFrame:
        """See `Store.rows`. Hourly ticks stay where they were written, so `resolution` changes nothing."""
        shown = series if fields is None else series.only(fields)
        return await self._do(lambda file: file.rows(shown, tick, tiers, ids))

    async def ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[datetime]:
        """See `Store.ticks`."""
        found = await self._do(lambda file: file.ticks(series, start, stop))
        if resolution == "1h":
            hours = {tick // HOUR: tick for tick in reversed(found)}
            found = sorted(hours.values())
        return [from_epoch(tick) for tick in found]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        where = "series = ? AND tick BETWEEN ? AND ? ORDER BY tick"
        found = await self._do(lambda file: file.stored_ticks(where, series, start.timestamp(), stop.timestamp()))
        return first_ticks_of_hours(found) if resolution == "1h" else found

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        newest = "tick <= ? ORDER BY tick DESC LIMIT 1"

        def work(file: _File) -> list[StoredTick]:
            live = file.stored_ticks(f"series = ? AND NOT backfilled AND {newest}", series, at.timestamp())
            return live or file.stored_ticks(f"series = ? AND {newest}", series, at.timestamp())

        return next(iter(await self._do(work)), None)

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`. Hourly ticks stay where they were written, so `resolution` changes nothing."""
        return await self._do(lambda file: file.history(series, cmc_id, sorted({*ticks})))

    async def rows_between(
        self,
        series: Series,
        ticks: Collection[datetime],
        *,
        tiers: range | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`. No tick between is read."""
        shown = series if fields is None else series.only(fields)
        return await self._do(lambda file: {tick: file.rows(shown, tick, tiers, None) for tick in ticks})

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock() - self._retention

    async def ready(self) -> None:
        """See `Store.ready`."""
        await self._do(lambda file: file.markers("tick < 0"))

    async def close(self) -> None:
        """Close the file; its WAL is merged by the last process to do so."""
        if self._connected:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connected.close)
        self._connected = None
        self._thread.shutdown()

    async def _do(self, work: Callable[["_File"], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)

    def _translated(self, work: Callable[["_File"], T]) -> T:
        try:
            if self._connected is None:
                self._connected = _File(_connect(self._path, self._durable, self._busy))
            return work(self._connected)
        except sqlite3.OperationalError as exc:
            raise StoreUnavailable(f"store {self._path}: {exc}") from exc
        except OSError as exc:
            raise StoreRejected(f"store {self._path}: {exc}") from exc
        except (sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError) as exc:
            raise StoreMalformed(f"store {self._path}: {exc}") from exc
        except sqlite3.Error as exc:
            raise StoreRejected(f"store {self._path}: {exc}") from exc


def _connect(path: Path, durable: bool, busy: timedelta) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=busy.total_seconds(), isolation_level=None, check_same_thread=False, cached_statements=64
    )
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL lets the newest commits go at a power cut; a confirmed snapshot must stay.
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute(_MARKERS)
    _add_columns(connection, schema.MARKER, _ADDED)
    return connection


class _File:
    """One connection, the tables it has seen, and up to where it has let old ticks go."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.known: dict[str, frozenset[str]] = {}
        self.forgotten: dict[str, int] = {}

    def close(self) -> None:
        self.connection.close()

    def write(self, snapshot: Snapshot, clock: Clock, horizon: datetime) -> None:
        with self._transaction():
            if held := self.markers("series = ? AND tick = ?", snapshot.series.name, _tick(snapshot.tick)):
                tell_kept(held[0], snapshot.marker)
                return
            self._insert(snapshot.series, _tick(snapshot.tick), snapshot.rows)
            marker = snapshot.marker.stamped(clock())
            values = [_plain(getattr(marker, name)) for name in _MARKER]
            self.connection.execute(
                f'INSERT INTO "{schema.MARKER}" ({", ".join(_MARKER)}) VALUES ({", ".join("?" * len(values))})', values
            )
            self._forget(snapshot.series, _tick(horizon))

    def markers(self, where: str, *values: object) -> list[Marker]:
        found = self.connection.execute(f'SELECT {", ".join(_MARKER)} FROM "{schema.MARKER}" WHERE {where}', values)
        return [_marker(row) for row in found]

    def ticks(self, series: str, start: datetime, stop: datetime) -> list[int]:
        where = "series = ? AND tick BETWEEN ? AND ? ORDER BY tick"
        values = (series, start.timestamp(), stop.timestamp())
        return [
            tick for (tick,) in self.connection.execute(f'SELECT tick FROM "{schema.MARKER}" WHERE {where}', values)
        ]

    def stored_ticks(self, where: str, *values: object) -> list[StoredTick]:
        columns = "tick, interval, backfilled"
        found = self.connection.execute(f'SELECT {columns} FROM "{schema.MARKER}" WHERE {where}', values)
        return [StoredTick(from_epoch(at), timedelta(seconds=interval), bool(late)) for at, interval, late in found]

    def history(self, series: Series, cmc_id: int, ticks: Sequence[datetime]) -> pl.DataFrame:
        shown = {"tick": pl.Int64(), **series.columns}
        found: list[Any] = []
        if measured := self._measured(series):
            names = ", ".join(self._names(series))
            # Naming ticks and tiers makes each row a look-up in the clustered key, which is (tick, tier, id).
            where = f"tick = ? AND {TIER} IN ({', '.join(map(str, ALL_TIERS))}) AND {ID} = ? AND ({measured})"
            asked = f'SELECT tick, {names} FROM "{series.name}" WHERE {where}'
            for tick in ticks:
                found += self.connection.execute(asked, (_tick(tick), cmc_id))
        rows = pl.DataFrame(found, schema=shown, orient="row")
        return rows.with_columns(pl.from_epoch("tick").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))

    def rows(self, series: Series, tick: datetime, tiers: range | None, ids: Collection[int] | None) -> pl.DataFrame:
        measured = self._measured(series)
        if not measured:
            return series.empty()
        # Naming every tier lets the clustered key find ids: it is (tick, tier, id).
        wanted = ALL_TIERS if tiers is None else tiers
        where, values = [f"tick = ? AND {TIER} IN ({', '.join('?' * len(wanted))})"], [_tick(tick), *wanted]
        if ids is not None:
            where.append(f"{ID} IN ({', '.join(str(int(id_)) for id_ in ids)})")
        where.append(f"({measured})")
        names = ", ".join(self._names(series))
        found = self.connection.execute(
            f'SELECT {names} FROM "{series.name}" WHERE {" AND ".join(where)} ORDER BY {ID}', values
        ).fetchall()
        return pl.DataFrame(found, schema=series.columns, orient="row")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")  # where a full disk shows
        except BaseException:
            if self.connection.in_transaction:  # some failures have rolled back by themselves
                self.connection.execute("ROLLBACK")
            raise

    def _insert(self, series: Series, tick: int, rows: pl.DataFrame) -> None:
        self._create(series)
        names = ", ".join(f'"{name}"' for name in series.columns)
        places = ", ".join("?" * len(series.columns))
        # The tick stands in the statement: to put it into each row would cost as much as to insert it.
        self.connection.executemany(
            f'INSERT INTO "{series.name}" (tick, {names}) VALUES ({tick:d}, {places})', rows.iter_rows()
        )

    def _create(self, series: Series) -> None:
        """The series' table, with every column it has by now: an older file's table lacks the newer ones."""
        held = self._columns(series)
        columns = {name: f'"{name}" {_TYPES[type(kind)]}' for name, kind in series.columns.items() if name not in held}
        if not held:
            self.connection.execute(
                f'CREATE TABLE "{series.name}"'
                f" (tick INTEGER, {', '.join(columns.values())}, PRIMARY KEY (tick, {TIER}, {ID})) WITHOUT ROWID"
            )
            return
        for column in columns.values():
            self.connection.execute(f'ALTER TABLE "{series.name}" ADD COLUMN {column}')

    def _measured(self, series: Series) -> str:
        """The condition that a row has any of the fields; nothing where the table has none of them."""
        held = self._columns(series)
        return " OR ".join(f'"{name}" IS NOT NULL' for name in series.fields if name in held)

    def _names(self, series: Series) -> list[str]:
        held = self._columns(series)
        return [f'"{name}"' if name in held else "NULL" for name in series.columns]

    def _columns(self, series: Series) -> frozenset[str]:
        """The columns the series' table has, none without one. Another process may have added some."""
        held = self.known.get(series.name, frozenset())
        if not held >= series.columns.keys():
            found = self.connection.execute("SELECT name FROM pragma_table_info(?)", (series.name,))
            held = self.known[series.name] = frozenset(name for (name,) in found)
        return held

    def _forget(self, series: Series, horizon: int) -> None:
        """Of the ticks before the horizon keep those that were the first of their hour when they were stored."""
        since = self.forgotten.get(series.name, 0)
        known = "ifnull({0}.stored_at, {0}.observed_at + {0}.duration)"
        gone = self.connection.execute(
            f"""SELECT tick FROM "{schema.MARKER}" late WHERE series = ? AND tick >= ? AND tick < ? AND EXISTS (
              SELECT 1 FROM "{schema.MARKER}" first WHERE first.series = late.series
              AND first.tick >= late.tick / {HOUR} * {HOUR} AND first.tick < late.tick
              AND {known.format("first")} <= {known.format("late")})""",
            (series.name, since, horizon),
        ).fetchall()
        self.connection.executemany(f'DELETE FROM "{series.name}" WHERE tick = ?', gone)
        self.connection.executemany(
            f'DELETE FROM "{schema.MARKER}" WHERE series = ? AND tick = ?', ((series.name, tick) for (tick,) in gone)
        )
        self.forgotten[series.name] = horizon // HOUR * HOUR


def _add_columns(connection: sqlite3.Connection, table: str, columns: Mapping[str, str]) -> None:
    """Give a table of an earlier version the columns it lacks; null in what it holds."""
    held = {name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")')}
    for name in (name for name in columns if name not in held):
        try:
            connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "{name}" {columns[name]}')
        except sqlite3.OperationalError as exc:
            if "duplicate column" not in str(exc):  # another process was quicker
                raise


def _tick(at: datetime) -> int:
    return int(at.timestamp())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return value.total_seconds() if isinstance(value, timedelta) else value


def _marker(row: tuple[Any, ...]) -> Marker:
    found = dict(zip(_MARKER, row, strict=True))
    for name in ("tick", "observed_at"):
        found[name] = from_epoch(found[name])
    for name in ("duration", "interval"):
        found[name] = timedelta(seconds=found[name])
    for name in ("unchanged", "backfilled"):
        found[name] = bool(found[name])
    if found["stored_at"] is not None:
        found["stored_at"] = from_epoch(found["stored_at"])
    marker = Marker(**found | {"hash": found["hash"] or ""})
    return marker.stamped(marker.known_since)
