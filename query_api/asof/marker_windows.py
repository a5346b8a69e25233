"""The markers before many instants, read together: neighbouring instants share most of them."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Unpack

from lib.snapshot import Marker
from lib.store import Resolution, Store, View

Window = tuple[datetime, datetime, Resolution]
"""The first and the last tick of a span, and its resolution."""


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
    ticks: Sequence[datetime]

    def covers(self, start: datetime, stop: datetime, resolution: Resolution) -> bool:
        first, last, own = self.window
        return first <= start and stop <= last and own == resolution

    def within(self, start: datetime, stop: datetime) -> list[Marker]:
        return list(self.markers[bisect_left(self.ticks, start) : bisect_right(self.ticks, stop)])


class MarkerWindows:
    """Answers of all series within windows that were read; asks the store for anything else.

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
        for start, stop, resolution in merged(windows):
            markers = await store.markers(start, stop, resolution=resolution, known_at=known_at)
            reads.append(_Read((start, stop, resolution), markers, [marker.tick for marker in markers]))
        return cls(store, known_at, reads)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        resolution, known_at = view.get("resolution", "1m"), view.get("known_at")
        if series is None and known_at == self._known_at:
            for read in self._reads:
                if read.covers(start, stop, resolution):
                    return read.within(start, stop)
        return await self._store.markers(start, stop, series=series, **view)


def merged(windows: Sequence[Window]) -> list[Window]:
    """Ascending windows, those of one resolution that overlap or touch joined."""
    joined: list[Window] = []
    for start, stop, resolution in windows:
        if joined and joined[-1][2] == resolution and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop), resolution
        else:
            joined.append((start, stop, resolution))
    return joined
