"""The `Store` on one SQLite file."""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar, Unpack

import polars as pl
import structlog

from lib.clock import HOUR_S, Clock, from_epoch
from lib.schema import PRICE, Series
from lib.snapshot import Marker, Snapshot, StoredTick, first_of_hours, visible_at
from lib.store import Resolution, Selection, Store, View, WantedTicks, log_withdrawal, warn_if_different
from lib.store.sqlite.asset_names import AssetNames
from lib.store.sqlite.database import BUSY, Connect, Database, connect, translate
from lib.store.sqlite.markers import Markers
from lib.store.sqlite.retention import CONFIRMED_BY, RETENTION, Retention
from lib.store.sqlite.rows import Rows, as_second
from lib.store.sqlite.worker import Worker

T = TypeVar("T")

log = structlog.get_logger()

TICKS_AT_ONCE = 12
"""Ticks whose rows are one piece of work: some ten milliseconds for a list of 200."""
MOST_CONVERTED = 20_000
"""Rows of an earlier version that one write converts at most: for 5,000 assets four ticks."""


class SqliteStore(Store):
    """A `Store` in one file. It opens the file at first use and works in one thread, off the event loop.

    With `keep_sealed` an archive has the rest: a minute that is sealed is deleted so soon, any other never.
    Without `durable` a power cut may take the newest snapshots: for snapshots that can be made again.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        retention: timedelta = RETENTION,
        keep_sealed: timedelta | None = None,
        confirmed_by: int = CONFIRMED_BY,
        durable: bool = True,
        busy: timedelta = BUSY,
        connect: Connect = connect,
    ) -> None:
        self._path = path
        self._clock = clock
        self._retention = retention
        self._connect = partial(Database, path, durable=durable, busy=busy, connect=connect)
        self._make_retention = partial(
            Retention,
            keep=retention if keep_sealed is None else keep_sealed,
            confirmed_by=confirmed_by,
            only_sealed=keep_sealed is not None,
        )
        self._worker = Worker("sqlite")
        self._file: _File | None = None

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`. The same transaction deletes old ticks."""
        await self._do(lambda file: file.write(snapshot, self._clock))

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        change = partial(Marker.withdrawn, why=why)
        ticks = await self._do(lambda file: file.markers.change(series, start, stop, change, self._clock))
        return log_withdrawal("ticks withdrawn", series, ticks, why=why)

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        ticks = await self._do(lambda file: file.markers.change(series, start, stop, Marker.restored, self._clock))
        return log_withdrawal("withdrawal undone", series, ticks)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        markers = await self._do(lambda file: file.markers.between(start, stop, series))
        visible = visible_at(markers, view.get("known_at"))
        return first_of_hours(visible) if view.get("resolution") == "1h" else visible

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        return await self._do(lambda file: file.markers.last(series, at))

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        return await self._do(lambda file: file.markers.first(series))

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        answers = await self._do(lambda file: file.markers.ticks(series, start, stop, view.get("known_at")))
        ticks = list(answers)
        if view.get("resolution") == "1h":
            ticks = sorted({tick // HOUR_S: tick for tick in reversed(ticks)}.values())
        return [from_epoch(tick) for tick in ticks if answers[tick]]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        near, known = wanted.get("near"), wanted.get("known", False)
        ticks = await self._do(lambda file: file.markers.stored_ticks(series, start, stop, near, known=known))
        return first_of_hours(ticks) if wanted.get("resolution") == "1h" else ticks

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`. Hourly ticks stay in the same table, so `resolution` changes nothing."""
        seconds = sorted({as_second(tick) for tick in ticks})
        return await self._do(lambda file: file.rows.of_asset(series, cmc_id, seconds))

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`. Ticks in between are not read. Between groups of ticks, others have their turn."""

        async def read(some: Sequence[datetime]) -> list[pl.DataFrame]:
            seconds = [as_second(tick) for tick in some]
            return await self._do(lambda file: file.rows.at_each(series, seconds, **selection))

        wanted = list(ticks)
        groups = [wanted[at : at + TICKS_AT_ONCE] for at in range(0, len(wanted), TICKS_AT_ONCE)]
        return {tick: rows for some in groups for tick, rows in zip(some, await read(some), strict=True)}

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`."""
        return await self._do(lambda file: file.names.since(as_second(since)))

    async def mark_sealed(self, series: str, hashes: Mapping[datetime, str]) -> None:
        """See `Store.mark_sealed`. With `keep_sealed`, ticks that are not marked are never deleted."""
        seconds = {as_second(tick): hashed for tick, hashed in hashes.items()}
        await self._do(lambda file: file.markers.mark_sealed(series, seconds))

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock() - self._retention

    async def ready(self) -> None:
        """See `Store.ready`."""
        await self._do(lambda file: file.markers.first(""))

    async def close(self) -> None:
        """See `Store.close`."""
        if self._file:
            await self._worker.run(self._file.close)
        self._file = None
        self._worker.end()

    async def _do(self, work: Callable[["_File"], T]) -> T:
        return await self._worker.run(lambda: self._run(work))

    def _run(self, work: Callable[["_File"], T]) -> T:
        try:
            return work(self._open())
        except (sqlite3.Error, OSError) as exc:
            raise translate(self._path, exc) from exc

    def _open(self) -> "_File":
        if self._file and self._file.database.is_replaced():
            log.warning("the store's file was replaced: it is opened again", file=str(self._path))
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = _File(self._connect(), self._make_retention)
        return self._file


class _File:
    """The tables of an open file."""

    def __init__(self, database: Database, make_retention: Callable[[Database, Rows], Retention]) -> None:
        self.database = database
        try:
            self.markers = Markers(database)
            self.names = AssetNames(database)
        except sqlite3.Error:
            database.close()  # an open connection would keep the WAL of a file that is about to be replaced
            raise
        self.rows = Rows(database)
        self.close = database.close
        self._retention = make_retention(database, self.rows)

    def write(self, snapshot: Snapshot, clock: Clock) -> None:
        """Store a snapshot, unless its tick is stored already."""
        tick = as_second(snapshot.tick)
        with self.database.transaction():
            if stored := self.markers.at(snapshot.series.name, tick):
                warn_if_different(stored, snapshot.marker)
                return
            self.rows.insert(snapshot.series, tick, snapshot.rows)
            if snapshot.series.name == PRICE.name:
                self.names.record(tick, snapshot.rows)
            now = clock()
            self.markers.insert(snapshot.marker.with_stored_at(now))
            self._retention.apply(snapshot.series, now)
        self._convert(snapshot.series)

    def _convert(self, series: Series) -> None:
        """Convert some ticks of an earlier version. A tick a transaction: a kill or a full disk loses nothing."""
        converted = 0
        while converted < MOST_CONVERTED and (old := self.rows.next_old(series)) is not None:
            with self.database.transaction():
                converted += self.rows.convert(series, old)
