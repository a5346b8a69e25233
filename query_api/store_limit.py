"""Questions to the store take turns: so many at once, so many waiting, and the rest are told to come back.

Who has had a turn goes before those who have not, and is not refused: what is begun is finished. Else, under load, all
would get half an answer and nobody a whole one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.errors import Busy
from lib.schema import Series
from lib.snapshot import Marker, Snapshot
from lib.store import Resolution, Store

AT_ONCE = 8
WAITING = 200
PATIENCE = timedelta(seconds=10)


@dataclass(slots=True)
class Visit:
    """One request, however often it asks the store."""

    served: bool = False


_VISIT: ContextVar[Visit] = ContextVar("visit")


class Turns:
    """A `Store` that few ask at once. Whoever stops waiting gives up its place."""

    def __init__(
        self, store: Store, *, at_once: int = AT_ONCE, waiting: int = WAITING, patience: timedelta = PATIENCE
    ) -> None:
        self._store = store
        self._free = at_once
        self._most = waiting
        self._patience = patience
        self._known: deque[asyncio.Future[None]] = deque()
        self._new: deque[asyncio.Future[None]] = deque()

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`."""
        async with self._turn():
            await self._store.write(snapshot)

    async def markers(
        self,
        start: datetime,
        stop: datetime,
        *,
        series: str | None = None,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[Marker]:
        """See `Store.markers`."""
        async with self._turn():
            return await self._store.markers(start, stop, series=series, resolution=resolution, known_at=known_at)

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        async with self._turn():
            return await self._store.nearest(series, at)

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        async with self._turn():
            return await self._store.first(series)

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
        async with self._turn():
            return await self._store.rows(series, tick, tiers=tiers, ids=ids, fields=fields, resolution=resolution)

    async def ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[datetime]:
        """See `Store.ticks`."""
        async with self._turn():
            return await self._store.ticks(series, start, stop, resolution=resolution)

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`."""
        async with self._turn():
            return await self._store.history(series, cmc_id, ticks, resolution=resolution)

    async def rows_between(
        self,
        series: Series,
        ticks: Collection[datetime],
        *,
        tiers: range | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        async with self._turn():
            return await self._store.rows_between(series, ticks, tiers=tiers, fields=fields, resolution=resolution)

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._store.horizon()

    async def ready(self) -> None:
        """See `Store.ready`."""
        async with self._turn():
            await self._store.ready()

    async def close(self) -> None:
        """See `Store.close`."""
        await self._store.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        visit = _VISIT.get(None) or Visit()
        if self._free:
            self._free -= 1
        else:
            await self._wait(self._known if visit.served else self._new)
        visit.served = True
        try:
            yield
        finally:
            self._hand_on()

    async def _wait(self, line: "deque[asyncio.Future[None]]") -> None:
        if line is self._new and len(line) >= self._most:
            raise Busy(f"{len(line)} wait for the store already")
        mine = asyncio.get_running_loop().create_future()
        line.append(mine)
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await mine
        except (TimeoutError, asyncio.CancelledError) as exc:
            if mine.done() and not mine.cancelled():
                self._hand_on()  # the turn came as the patience ended
            elif mine in line:
                line.remove(mine)
            if isinstance(exc, TimeoutError):
                raise Busy(f"the store had no time within {self._patience.total_seconds():g} s") from exc
            raise

    def _hand_on(self) -> None:
        for line in (self._known, self._new):
            while line:
                if not (first := line.popleft()).done():
                    first.set_result(None)
                    return
        self._free += 1


class Visits:
    """An ASGI middleware that makes each request one visit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        _VISIT.set(Visit())
        await self._app(scope, receive, send)
