"""How many queries one InfluxDB server gets at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from lib.errors import Busy
from lib.units import format_duration

AT_ONCE = 8
WAITING = 200
PATIENCE = timedelta(seconds=10)


class QueryLimit:
    """Runs a few queries at a time, first come, first served. Busy when too many wait, or one waits too long."""

    def __init__(self, *, at_once: int = AT_ONCE, waiting: int = WAITING, patience: timedelta = PATIENCE) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._most = waiting
        self._patience = patience
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place among the running queries, free again at the end."""
        if self._places.locked() and self._waiting >= self._most:
            raise Busy(f"{self._waiting} queries wait for the store already; try again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._places.acquire()
        except TimeoutError as exc:
            raise Busy(f"the store had no time for a query within {format_duration(self._patience)}") from exc
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
