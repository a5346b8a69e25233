"""Reads half an hour at once for callers that ask for one tick after the other, such as exports. Bounded in bytes."""

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
        self._blocks: LRUCache[Hashable, tuple[datetime, Any, int]] = LRUCache(
            MOST_BYTES, getsizeof=lambda block: max(1, block[2])
        )

    async def block(self, what: Hashable, start: datetime, stop: datetime, read: Read[T]) -> T | None:
        """A block with all from `start` to `stop`; None when the caller should read the span alone."""
        first = slot(start, BLOCK)
        before, self._last[what] = self._last.get(what), stop
        if stop >= first + 2 * BLOCK:
            return None
        key, now = (what, first), self._clock()
        found = self._blocks.get(key)
        if found and timedelta() <= now - found[0] < FRESH:
            known: T = found[1]
            return known
        if before is None or not timedelta() < stop - before <= BLOCK:
            return None
        value, size = await read(first, first + 2 * BLOCK - SECOND)
        if size < MOST_BYTES // 2:
            self._blocks[key] = now, value, size
        return value
