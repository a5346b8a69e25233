"""One listener of the stream: where it is, and the snapshots that wait for it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime

from lib.clock import from_epoch
from lib.schema import NAME
from lib.snapshot import Marker

BACKLOG = 64
"""Snapshots that wait for one listener."""
POSITION = rf"{NAME.pattern}:[0-9]{{1,11}}(?:,{NAME.pattern}:[0-9]{{1,11}})*"

Position = Mapping[str, datetime]
"""The newest tick sent of each series. As text it is the id of an event."""


def position_text(position: Position) -> str:
    """`price:1794926220,volume_rank:1794926220`."""
    return ",".join(f"{name}:{int(tick.timestamp())}" for name, tick in sorted(position.items()))


def parse_position(text: str) -> Position:
    """The inverse of `position_text`; ValueError for any other text."""
    if not re.fullmatch(POSITION, text):
        raise ValueError("is no id of an event")
    pairs = (part.split(":") for part in text.split(","))
    return {name: from_epoch(int(seconds)) for name, seconds in pairs}


class Listener:
    """Gets each snapshot once, those of a series in the order of their ticks."""

    def __init__(self) -> None:
        self._position: dict[str, datetime] = {}
        self._replay: list[Marker] = []
        self._news: asyncio.Queue[Marker | None] = asyncio.Queue(BACKLOG)
        self.missed: tuple[datetime, datetime] | None = None
        """The span of which nothing is replayed, where the listener asked for more than is replayed."""

    @property
    def id(self) -> str:
        """The id to go on from after the newest snapshot it got."""
        return position_text(self._position)

    def start(self, position: Position, replay: Iterable[Marker], missed: tuple[datetime, datetime] | None) -> None:
        """Go on from a position: first the replay, then what is sent."""
        self._position, self._replay, self.missed = dict(position), list(replay), missed

    def send(self, marker: Marker) -> None:
        """Queue a snapshot. A listener whose queue is full is closed: it reconnects with its id and misses nothing."""
        if self._news.full():
            self.close()
        else:
            self._news.put_nowait(marker)

    def rewind(self, series: str, tick: datetime) -> None:
        """Send the ticks after this one again: the newer ones were stamped by a clock that was set back since."""
        if series in self._position:
            self._position[series] = min(self._position[series], tick)

    def close(self) -> None:
        """End it at once."""
        self._replay.clear()
        while not self._news.empty():
            self._news.get_nowait()
        self._news.put_nowait(None)

    async def snapshots(self) -> AsyncIterator[Marker]:
        """The markers until it is closed; `id` is that of the newest."""
        while marker := self._replay.pop(0) if self._replay else await self._news.get():
            newest = self._position.get(marker.series)
            if newest is None or marker.tick > newest:
                self._position[marker.series] = marker.tick
                yield marker
