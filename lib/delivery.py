"""How an admitted snapshot gets into the store: through the spool, or directly."""

import asyncio
from typing import Protocol

import structlog

from lib.errors import StoreMalformed, TopcoinsError
from lib.snapshot import Snapshot
from lib.spool import Spool
from lib.store import Store

log = structlog.get_logger()


class Delivery(Protocol):
    """Takes admitted snapshots to the store, each once, in order."""

    async def take(self, snapshot: Snapshot) -> None:
        """Be responsible for a snapshot from now on; raises when that can't be."""

    async def deliver(self) -> None:
        """Hand the store what waits."""


class Direct:
    """Writes at once: for what can be fetched again at will, such as a simulated history."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, snapshot: Snapshot) -> None:
        """Write it; what the store raises is the caller's."""
        await self._store.write(snapshot)

    async def deliver(self) -> None:
        """Nothing ever waits."""


class Spooled:
    """Through the spool: what the store does not take now, it takes later, in order."""

    def __init__(self, spool: Spool, store: Store) -> None:
        self._spool = spool
        self._store = store
        self._away = False

    async def take(self, snapshot: Snapshot) -> None:
        """Put it on disk; SpoolUnavailable when the disk does not take it."""
        await asyncio.to_thread(self._spool.put, snapshot)

    async def deliver(self) -> None:
        """Hand over in order until the store refuses. An outage is logged at its start and at its end."""
        for entry, snapshot in self._spool.take():
            try:
                await self._store.write(snapshot)
            except StoreMalformed as exc:
                self._spool.set_aside(entry, str(exc))  # the store would refuse it again, and hold up the rest
                continue
            except TopcoinsError as exc:
                if not self._away:
                    log.error("store away: snapshots wait in the spool", why=str(exc), kind=type(exc).__name__)
                self._away = True
                return
            self._spool.confirm(entry)
        if self._away:
            log.warning("store back: the spool is delivered", counts=str(self._spool.counts()))
        self._away = False
