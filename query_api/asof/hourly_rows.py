"""Prefetches the rows of full hours, a day at a time, for callers that read one hour after the other."""

import asyncio
from datetime import datetime
from typing import Protocol, Unpack

import polars as pl

from lib.clock import DAY, HOUR, slot
from lib.errors import StoreRejected
from lib.schema import Series
from lib.store import Selection, Store

TIERS = 4
"""More tiers are thousands of assets: a day of them takes too much memory and time."""
MOST_READS = 4
"""Prefetched days in memory: two series, and the day before where steps overlap."""

_Key = tuple[str, datetime, range, tuple[str, ...] | None]
_Rows = dict[datetime, pl.DataFrame]


class RowSource(Protocol):
    """Gives the rows of a tick: a store, or `HourlyRows` in front of it."""

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """See `Store.rows`."""


class HourlyRows:
    """Reads rows. For ticks on the hour it prefetches the day from the hourly bucket, which holds the same rows."""

    def __init__(self, store: Store, stop: datetime) -> None:
        self._store = store
        self._stop = stop
        self._days: dict[_Key, asyncio.Task[_Rows]] = {}

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """See `Store.rows`."""
        tiers, fields = selection.get("tiers"), selection.get("fields")
        if tiers and tiers.stop <= TIERS and selection.get("ids") is None and tick == slot(tick, HOUR):
            day = await self._of_day((series.name, slot(tick, DAY), tiers, tuple(fields) if fields else None), series)
            if tick in day:
                return day[tick]
        return await self._store.rows(series, tick, **selection)

    async def _of_day(self, key: _Key, series: Series) -> _Rows:
        if key not in self._days:
            while len(self._days) >= MOST_READS:
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
        # A tick on the hour is the first of its hour.
        ticks = [marker.tick for marker in markers if marker.tick == slot(marker.tick, HOUR)]
        return await self._store.rows_between(series, ticks, tiers=tiers, fields=fields, resolution="1h")
