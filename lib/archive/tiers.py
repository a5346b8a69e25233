"""A `Store` of two tiers: the hot store has the newest days, the archive every sealed day before them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import TypeVar, Unpack

import polars as pl
import structlog

from lib.archive.coverage import Coverage, read_coverage
from lib.archive.no_store import NoStore
from lib.archive.objects import Objects
from lib.archive.reader import FRESH, ArchiveReader
from lib.archive.sealed_store import SealedStore
from lib.clock import SECOND, Clock
from lib.errors import SettingsRejected, TopcoinsError
from lib.ingest.missed import MissedTick
from lib.schema import Series
from lib.settings import NONE, SQLITE, Settings
from lib.snapshot import Marker, Snapshot, StoredTick
from lib.store import Resolution, Selection, Store, View, WantedTicks, merged_names
from lib.store.address import open_store

log = structlog.get_logger()

T = TypeVar("T")


def open_tiers(settings: Settings, objects: Objects | None, clock: Clock) -> Store:
    """The store of the settings, and the archive behind it, if there is one. Does no I/O yet."""
    if objects is None:
        if settings.store_url == NONE:
            raise SettingsRejected(
                "TOPCOINS_STORE_URL and TOPCOINS_ARCHIVE_URL are both none, so nothing can answer; for example"
                " TOPCOINS_ARCHIVE_URL=./data/archive"
            )
        return open_store(settings, clock)
    hot = NoStore(clock) if settings.store_url == NONE else open_store(settings, clock)
    keep = settings.minutes_kept if settings.store_url.startswith(SQLITE) else None
    return Tiers(hot, ArchiveReader(objects, clock=clock), clock=clock, keep=keep)


class Tiers(Store):
    """Answers each tick from the hot store while that is sure to have it, and from the archive before.

    While the archive is away, only questions about its ticks raise StoreUnavailable. A snapshot that comes late for a
    tick of the archive is there after the archiver's next run. `keep` is how long the hot store has sealed minutes;
    without it, up to its horizon.
    """

    def __init__(self, hot: Store, reader: ArchiveReader, *, clock: Clock, keep: timedelta | None = None) -> None:
        self._hot = hot
        self._reader = reader
        self._sealed = SealedStore(reader)
        self._clock = clock
        self._keep = keep
        self._coverage = Coverage.unknown()
        self._looked_at: datetime | None = None
        self._firsts: dict[tuple[str, datetime], Marker | None] = {}

    async def refresh(self) -> None:
        """Look which days are sealed, at most once a minute. An archive that is away changes nothing."""
        now = self._clock()
        if self._looked_at is not None and timedelta() <= now - self._looked_at < FRESH:
            return
        self._looked_at = now
        try:
            self._coverage = await read_coverage(self._hot, self._reader)
        except TopcoinsError as exc:
            log.warning("the archive's days can't be listed", why=str(exc))

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`."""
        await self._hot.write(snapshot)

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        return await self._hot.withdraw(series, start, stop, why=why)

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        return await self._hot.undo_withdrawal(series, start, stop)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        return await self._over(
            start,
            stop,
            view.get("resolution"),
            lambda store, first, last: store.markers(first, last, series=series, **view),
        )

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        first, last = await self._span("1m")
        hot = await self._hot.nearest(series, at)
        if first >= last or at < first or (hot and hot.tick >= last):
            return hot
        found = [marker for marker in (hot, await self._sealed.nearest(series, min(at, last - SECOND))) if marker]
        return max(found, key=lambda marker: marker.tick, default=None)

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        await self.refresh()
        hot = await self._hot.first(series)
        if self._coverage.is_unknown or (hot and hot.tick < self._coverage.first):
            return hot
        key = series, self._coverage.first
        if key not in self._firsts:  # it never changes, and the status asks for it often
            self._firsts[key] = await self._sealed.first(series)
        found = [marker for marker in (hot, self._firsts[key]) if marker]
        return min(found, key=lambda marker: marker.tick, default=None)

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        return await self._over(
            start, stop, view.get("resolution"), lambda store, first, last: store.ticks(series, first, last, **view)
        )

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        return await self._over(
            start,
            stop,
            wanted.get("resolution"),
            lambda store, first, last: store.stored_ticks(series, first, last, **wanted),
        )

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`."""
        sealed, hot = await self._split(ticks, resolution)
        rows = await self._sealed.history(series, cmc_id, sealed)
        if not hot:
            return rows
        return pl.concat([rows, await self._hot.history(series, cmc_id, hot, resolution=resolution)]).sort("tick")

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        sealed, hot = await self._split(ticks, selection.get("resolution"))
        rows = await self._sealed.rows_between(series, sealed, **selection)
        return rows | (await self._hot.rows_between(series, hot, **selection) if hot else {})

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`. Only days before the first name of the hot store are read from the archive."""
        first, last = await self._span("1m")
        hot = await self._hot.asset_names(since)
        begin = max(since, first)
        end = min([last - SECOND, *hot["first"]])
        return merged_names([await self._sealed.asset_names(begin, end), hot]) if begin <= end else hot

    async def missed(self, series: str, start: datetime, stop: datetime) -> list[MissedTick]:
        """The missing ticks of sealed days whose cause was recorded: see `lib.gaps`."""
        first, last = await self._span("1m")
        begin, end = max(start, first), min(stop, last - SECOND)
        return await self._sealed.missed(series, begin, end) if begin <= end else []

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._coverage.horizon(self._hot.horizon())

    async def ready(self) -> None:
        """See `Store.ready`."""
        await self._hot.ready()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._hot.close()

    async def _span(self, resolution: Resolution | None) -> tuple[datetime, datetime]:
        """From when to before when the archive answers."""
        await self.refresh()
        kept = self._hot.horizon() if self._keep is None else self._clock() - self._keep
        return self._coverage.span(kept, resolution)

    async def _split(
        self, ticks: Collection[datetime], resolution: Resolution | None
    ) -> tuple[list[datetime], list[datetime]]:
        """The ticks that the archive answers, and those of the hot store."""
        start, stop = await self._span(resolution)
        sealed = [tick for tick in ticks if start <= tick < stop]
        return sealed, [tick for tick in ticks if not start <= tick < stop]

    async def _over(
        self,
        start: datetime,
        stop: datetime,
        resolution: Resolution | None,
        read: "Callable[[Store | SealedStore, datetime, datetime], Awaitable[list[T]]]",
    ) -> list[T]:
        """What the tiers have of a span, oldest first. Tiers change at midnight, so no hour is in two."""
        first, last = await self._span(resolution)
        parts = (
            (self._hot, start, min(stop, first - SECOND)),
            (self._sealed, max(start, first), min(stop, last - SECOND)),
            (self._hot, max(start, last), stop),
        )
        found = await asyncio.gather(*(read(store, begin, end) for store, begin, end in parts if begin <= end))
        return [each for part in found for each in part]
