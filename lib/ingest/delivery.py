"""How an admitted snapshot gets into the store: through the spool, or directly."""

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from lib.errors import SpoolUnavailable, StoreMalformed, TopcoinsError
from lib.ingest.spool import Entry, Spool
from lib.snapshot import Snapshot
from lib.store import Store

log = structlog.get_logger()

PATIENCE = timedelta(seconds=15)


class Delivery(Protocol):
    """Takes admitted snapshots to the store, each once, in order."""

    async def take(self, snapshot: Snapshot) -> None:
        """Be responsible for a snapshot from now on; raises when that can't be."""

    async def deliver(self) -> None:
        """Hand the store what waits."""

    async def newest(self) -> Snapshot | None:
        """The last snapshot that waits."""


class Direct:
    """Writes at once: for what can be fetched again at will, such as a simulated history."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, snapshot: Snapshot) -> None:
        """Write it; what the store raises is the caller's."""
        await self._store.write(snapshot)

    async def deliver(self) -> None:
        """Nothing ever waits."""

    async def newest(self) -> Snapshot | None:
        """Nothing ever waits."""
        return None


class Spooled:
    """Through the spool: what the store does not take now, it takes later, in order.

    After `patience` the rest waits for the next delivery: a long queue must not hold up the next tick.
    """

    def __init__(self, spool: Spool, store: Store, *, patience: timedelta = PATIENCE) -> None:
        self._spool = spool
        self._store = store
        self._patience = patience
        self._away = False

    async def take(self, snapshot: Snapshot) -> None:
        """Put it on disk; SpoolUnavailable when the disk does not take it."""
        await asyncio.to_thread(self._spool.put, snapshot)

    async def deliver(self) -> None:
        """Hand over in order until the store refuses. An outage is logged at its start and at its end."""
        try:
            whole = await self._handed_over()
        except TopcoinsError as exc:
            if not self._away:
                what = "spool" if isinstance(exc, SpoolUnavailable) else "store"
                log.error(f"{what} away: snapshots wait in the spool", why=str(exc), kind=type(exc).__name__)
            self._away = True
            return
        if self._away and whole:
            log.warning("store back: the spool is delivered", counts=str(self._spool.counts()))
            self._away = False

    async def newest(self) -> Snapshot | None:
        """The last snapshot on disk."""
        return await asyncio.to_thread(self._spool.newest)

    async def _handed_over(self) -> bool:
        """Whether nothing waits any more."""
        now = asyncio.get_running_loop().time
        until = now() + self._patience.total_seconds()
        held = self._spool.take()
        while waiting := await asyncio.to_thread(next, held, None):
            await self._hand_over(*waiting)
            if now() >= until:
                return not self._spool.counts().spooled
        return True

    async def _hand_over(self, entry: Entry, snapshot: Snapshot) -> None:
        try:
            await self._store.write(snapshot)
        except StoreMalformed as exc:  # the store would refuse it again, and hold up the rest
            await asyncio.to_thread(self._spool.set_aside, entry, str(exc))
        else:
            await asyncio.to_thread(self._spool.confirm, entry)
