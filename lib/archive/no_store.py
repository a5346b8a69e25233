"""`STORE_URL=none`: a hot store without anything, for an API that answers from the archive alone."""

from collections.abc import Collection
from datetime import datetime
from typing import NoReturn, Unpack

import polars as pl

from lib.archive.tables import series_columns
from lib.clock import Clock
from lib.errors import StoreRejected
from lib.schema import Series
from lib.snapshot import Marker, Snapshot, StoredTick
from lib.store import Resolution, Selection, View, WantedTicks
from lib.store.asset_names import merged_names


class NoStore:
    """A `Store` that has nothing and takes nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`."""
        _refuse()

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        _refuse()

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        _refuse()

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        return []

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        return None

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        return None

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """See `Store.rows`."""
        return (await self.rows_between(series, [tick], **selection))[tick]

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        return []

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        return []

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        return None

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`."""
        return pl.DataFrame(schema=series_columns(series))

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        fields = selection.get("fields")
        return dict.fromkeys(ticks, (series if fields is None else series.only(fields)).empty())

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`."""
        return merged_names([])

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock()

    async def ready(self) -> None:
        """See `Store.ready`."""

    async def close(self) -> None:
        """See `Store.close`."""


def _refuse() -> NoReturn:
    raise StoreRejected("TOPCOINS_STORE_URL is none: nothing can be written; for example sqlite:///./data/topcoins.db")
