"""Reads an hour at once for callers that ask for one tick after the other, such as exports. Bounded in bytes."""

from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cachetools import LRUCache

from lib.archive.reader import FRESH
from lib.clock import SECOND, Clock, slot

BLOCK = timedelta(minutes=30)
MOST_BYTES = 64 * 2**20

T = TypeVar("T")

Read = Callable[[datetime, datetime], Awaitable[tuple[T, int]]]
"""Reads all of a span; also returns its size in bytes."""


class ReadAhead:
    """Blocks by what was read. A block is read when a tick follows one that was asked for shortly before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: LRUCache[Hashable, datetime] = LRUCache(64)
        self._spans: LRUCache[Hashable, tuple[datetime, Any, int]] = LRUCache(
            MOST_BYTES, getsizeof=lambda block: max(1, block[2])
        )

    async def block(self, what: Hashable, start: datetime, stop: datetime, read: Read[T]) -> T | None:
        """A block with all from `start` to `stop`; None when the caller should read the span alone."""
        first = slot(start, BLOCK)
        before, self._last[what] = self._last.get(what), stop
        if stop >= first + 2 * BLOCK:
            return None
        key = what, first
        follows = before is not None and timedelta() < stop - before <= BLOCK
        if not follows and self._known(key) is None:
            return None
        return await self.span(key, first, first + 2 * BLOCK - SECOND, read)

    async def span(self, key: Hashable, start: datetime, stop: datetime, read: Read[T]) -> T:
        """All of a span; it stays in memory for a minute, unless it is too large."""
        if known := self._known(key):
            value: T = known[0]
            return value
        value, size = await read(start, stop)
        if size < MOST_BYTES // 2:
            self._spans[key] = self._clock(), value, size
        return value

    def _known(self, key: Hashable) -> tuple[Any] | None:
        found = self._spans.get(key)
        return (found[1],) if found and timedelta() <= self._clock() - found[0] < FRESH else None
