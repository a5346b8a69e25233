"""The rows of full hours, a day of hours read together: what an export of hours asks for, one after the other."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from lib.clock import slot
from lib.errors import StoreRejected
from lib.schema import Series
from lib.store import Resolution, Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TIERS = 4
"""Of more tiers, thousands of assets, a day would be too much to hold and to wait for."""
KEPT = 4
"""Reads whose rows are in memory: two series, and the day before where steps overlap."""

_Key = tuple[str, datetime, range, tuple[str, ...] | None]
_Rows = dict[datetime, pl.DataFrame]


class RowSource(Protocol):
    """Where the rows of a tick come from: a store, or `Hours` before it."""

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
        """See `Store.rows`."""


class HourlyRows:
    """A store's rows. Those of a full hour come from the hourly snapshots, where they are the same, a day at a time."""

    def __init__(self, store: Store, stop: datetime) -> None:
        self._store = store
        self._stop = stop
        self._days: dict[_Key, asyncio.Task[_Rows]] = {}

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
        """See `Store.rows`."""
        if tiers and tiers.stop <= TIERS and ids is None and tick == slot(tick, HOUR):
            found = await self._of_day((series.name, slot(tick, DAY), tiers, tuple(fields) if fields else None), series)
            if tick in found:
                return found[tick]
        return await self._store.rows(series, tick, tiers=tiers, ids=ids, fields=fields, resolution=resolution)

    async def _of_day(self, key: _Key, series: Series) -> _Rows:
        if key not in self._days:
            while len(self._days) >= KEPT:
                self._days.pop(next(iter(self._days)))
            self._days[key] = asyncio.create_task(self._read(key, series))
        return await asyncio.shield(self._days[key])

    async def _read(self, key: _Key, series: Series) -> _Rows:
        _, day, tiers, fields = key
        stop = min(day + DAY - HOUR, self._stop)
        try:
            markers = await self._store.markers(day, stop, series=series.name, resolution="1h")
        except StoreRejected:  # before `topcoins init` there is no hourly bucket
            return {}
        # A tick on the hour is the first of its hour: no other can be before it.
        ticks = [marker.tick for marker in markers if marker.tick == slot(marker.tick, HOUR)]
        return await self._store.rows_between(series, ticks, tiers=tiers, fields=fields, resolution="1h")
