"""The markers of spans, read together: neighbouring instants share most of them, and a report asks for them twice."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Protocol, Unpack

from lib.snapshot import Marker, StoredTick
from lib.store import Resolution, Store, View, WantedTicks

Window = tuple[datetime, datetime, Resolution]
"""The first and the last tick of a span, and its resolution."""


_tick = attrgetter("tick")


class MarkerSource(Protocol):
    """Gives markers: a store, or `MarkerWindows` in front of it."""

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What the store answered for a window."""

    window: Window
    markers: Sequence[Marker]

    def covers(self, start: datetime, stop: datetime, resolution: Resolution) -> bool:
        first, last, own = self.window
        return first <= start and stop <= last and own == resolution

    def within(self, start: datetime, stop: datetime) -> list[Marker]:
        first, last = bisect_left(self.markers, start, key=_tick), bisect_right(self.markers, stop, key=_tick)
        return list(self.markers[first:last])


class MarkerWindows:
    """Answers within windows that were read; asks the store for anything else.

    A window of hours must begin with a full hour: the first tick of an hour is that of all its ticks.
    """

    def __init__(self, store: Store, known_at: datetime | None, reads: Sequence[_Read]) -> None:
        self._store = store
        self._known_at = known_at
        self._reads = reads

    @classmethod
    async def read(cls, store: Store, windows: Sequence[Window], known_at: datetime | None) -> "MarkerWindows":
        """Read these windows; those that overlap as one. They ascend."""
        reads = []
        for window in merged(windows):
            start, stop, resolution = window
            reads.append(_Read(window, await store.markers(start, stop, resolution=resolution, known_at=known_at)))
        return cls(store, known_at, reads)

    @classmethod
    async def of_each(cls, store: Store, start: datetime, stop: datetime, series: Iterable[str]) -> "MarkerWindows":
        """Read the minutes of one window, each series by itself: a write that is under way hides no other snapshot."""
        read = await asyncio.gather(*(store.markers(start, stop, series=name) for name in series))
        return cls(store, None, [_Read((start, stop, "1m"), sorted(chain(*read), key=attrgetter("tick", "series")))])

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        if read := self._covering(start, stop, view.get("resolution", "1m"), view.get("known_at")):
            return [marker for marker in read.within(start, stop) if series in (None, marker.series)]
        return await self._store.markers(start, stop, series=series, **view)

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        if read := self._covering(start, stop, wanted.get("resolution", "1m"), None):
            return [marker.known_tick for marker in read.within(start, stop) if marker.series == series]
        return await self._store.stored_ticks(series, start, stop, **wanted)

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        return await self._store.newest_tick(series, at)

    def _covering(
        self, start: datetime, stop: datetime, resolution: Resolution, known_at: datetime | None
    ) -> _Read | None:
        return next((r for r in self._reads if known_at == self._known_at and r.covers(start, stop, resolution)), None)


def merged(windows: Sequence[Window]) -> list[Window]:
    """Ascending windows, those of one resolution that overlap or touch joined."""
    joined: list[Window] = []
    for start, stop, resolution in windows:
        if joined and joined[-1][2] == resolution and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop), resolution
        else:
            joined.append((start, stop, resolution))
    return joined
