"""How an accepted snapshot gets into the store: through the spool, or directly."""

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from lib.errors import SpoolUnavailable, StoreMalformed, TopcoinsError
from lib.ingest.spool import Spool
from lib.ingest.spool_folder import Entry
from lib.snapshot import Snapshot
from lib.store import Store

log = structlog.get_logger()

TIME_LIMIT = timedelta(seconds=15)


class Delivery(Protocol):
    """Brings accepted snapshots to the store, each once, in order. By default none waits."""

    async def accept(self, snapshot: Snapshot) -> None:
        """Accept a snapshot for delivery. After this returns it survives a crash."""

    async def amend(self, snapshot: Snapshot) -> None:
        """Replace the snapshot accepted last, of the same tick, if it still waits: its marker says more now."""
        return

    async def flush(self) -> None:
        """Write the snapshots that wait to the store."""
        return

    async def newest(self) -> Snapshot | None:
        """The last snapshot that waits."""
        return None


class WriteThrough(Delivery):
    """Writes at once: for what can be fetched again at any time, such as a simulated history."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def accept(self, snapshot: Snapshot) -> None:
        """Write it to the store; the store's errors reach the caller."""
        await self._store.write(snapshot)


class ViaSpool(Delivery):
    """Writes to the spool first. Snapshots that the store does not take now are written later, in order.

    A flush ends after `time_limit`; the rest waits for the next one, so that a long queue does not delay the next tick.
    """

    def __init__(self, spool: Spool, store: Store, *, time_limit: timedelta = TIME_LIMIT) -> None:
        self._spool = spool
        self._store = store
        self._time_limit = time_limit
        self._away = False

    async def accept(self, snapshot: Snapshot) -> None:
        """Put it on disk; SpoolUnavailable when the disk fails."""
        await asyncio.to_thread(self._spool.put, snapshot)

    async def amend(self, snapshot: Snapshot) -> None:
        """Replace it on disk."""
        await asyncio.to_thread(self._spool.amend, snapshot)

    async def flush(self) -> None:
        """Write snapshots in order until the store refuses. An outage is logged when it starts and when it ends."""
        try:
            is_empty = await self._write_waiting()
        except TopcoinsError as exc:
            if not self._away:
                what = "spool" if isinstance(exc, SpoolUnavailable) else "store"
                log.error(f"{what} away: snapshots wait in the spool", why=str(exc), kind=type(exc).__name__)
            self._away = True
            return
        if self._away and is_empty:
            log.warning("store back: the spool is delivered", counts=str(self._spool.counts()))
            self._away = False

    async def newest(self) -> Snapshot | None:
        """The last snapshot on disk."""
        return await asyncio.to_thread(self._spool.newest)

    async def _write_waiting(self) -> bool:
        """Write snapshots until none waits or the time is up; whether none waits."""
        now = asyncio.get_running_loop().time
        until = now() + self._time_limit.total_seconds()
        snapshots = self._spool.read()
        while waiting := await asyncio.to_thread(next, snapshots, None):
            await self._write(*waiting)
            if now() >= until:
                return not self._spool.counts().spooled
        return True

    async def _write(self, entry: Entry, snapshot: Snapshot) -> None:
        try:
            await self._store.write(snapshot)
        except StoreMalformed as exc:  # the store would refuse it again and block the rest
            await asyncio.to_thread(self._spool.set_aside, entry, str(exc))
        else:
            await asyncio.to_thread(self._spool.confirm, entry)
