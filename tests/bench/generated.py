"""A market of any length to seal: a store that makes its snapshots when they are read."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Unpack

import polars as pl

from lib.archive.no_store import NoStore
from lib.clock import HOUR, SECOND, Clock
from lib.schema import OWN, Series
from lib.simulator import Market
from lib.snapshot import Marker, Snapshot, StoredTick
from lib.store import Resolution, Selection, View, WantedTicks
from tests.bench.influx import snapshots_of
from tests.bench.servers import MINUTE

PERIOD = timedelta(hours=2)
"""So much comes from the simulator. It repeats with other values: each number is scaled, so that none is alike."""
_SCALED = ("usd", "market_cap_usd", "volume_usd")


class GeneratedStore(NoStore):
    """A store whose ticks are hours from `first` on, and minutes from `minutes` on, up to `end`."""

    def __init__(self, clock: Clock, *, assets: int, first: datetime, minutes: datetime, end: datetime) -> None:
        super().__init__(clock)
        market = Market(1, assets)
        each = [snapshots_of(market, first + n * MINUTE) for n in range(PERIOD // MINUTE)]
        self._base = {series: [pair[place] for pair in each] for place, series in enumerate(OWN)}
        self._first = first
        self._minutes = minutes
        self._end = end

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        return self._marker(series, self._first)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        names = [series] if series else list(OWN)
        ticks = self._ticks(start, stop, view.get("resolution", "1m"))
        return [self._marker(name, tick) for tick in ticks for name in names]

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        return list(self._ticks(start, stop, view.get("resolution", "1m")))

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        return [StoredTick(tick, MINUTE, False) for tick in self._ticks(start, stop, wanted.get("resolution", "1m"))]

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`; always all rows."""
        return {tick: self.snapshot(series.name, tick).rows for tick in ticks}

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._minutes - SECOND

    def snapshot(self, series: str, tick: datetime) -> Snapshot:
        """The snapshot of a tick."""
        base = self._base_of(series, tick)
        scale = math.exp(0.1 * math.sin((tick - self._first) // PERIOD))
        values = [pl.col(name) * scale for name in base.series.fields if name in _SCALED]
        if "updated_at" in base.series.fields:
            values.append(pl.col("updated_at") + (tick - base.tick).total_seconds())
        return Snapshot(base.series, self._marker(series, tick), base.rows.with_columns(values))

    def _marker(self, series: str, tick: datetime) -> Marker:
        marker = self._base_of(series, tick).marker
        seen = marker.observed_at + (tick - marker.tick)
        return replace(marker, tick=tick, observed_at=seen, stored_at=seen, hash="")

    def _base_of(self, series: str, tick: datetime) -> Snapshot:
        some: Sequence[Snapshot] = self._base[series]
        return some[(tick - self._first) // MINUTE % len(some)]

    def _ticks(self, start: datetime, stop: datetime, resolution: Resolution) -> Iterator[datetime]:
        every = MINUTE if resolution == "1m" else HOUR
        at = max(start, self._minutes if resolution == "1m" else self._first)
        while at <= min(stop, self._end):
            yield at
            at += every
