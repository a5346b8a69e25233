"""Who writes a tick. InfluxDB has no transactions: of two that write one tick at once, rows of both would stay."""

import asyncio
import uuid
from datetime import datetime, timedelta

from lib.clock import isoformat
from lib.errors import StoreUnavailable
from lib.store.influx import answer, flux, lines
from lib.store.influx.server import Server

LASTS = timedelta(seconds=30)
"""By the server's clock. A writer that died is waited for no longer."""
HOLDS = timedelta(seconds=15)
"""Its writer relies on a claim no longer, so that a request sent within ends before the claim does."""
LOOK_S = 0.05


class Claim:
    """One writer's claim on a tick of a series. Who claims, and then sees no other claim, is alone."""

    def __init__(self, server: Server, writer: str, bucket: str, series: str, tick: datetime) -> None:
        self._server = server
        self._writer = writer
        self._bucket = bucket
        self._series = series
        self._tick = tick
        self._until = 0.0

    async def make(self) -> None:
        """Say that this tick is ours to write."""
        self._until = asyncio.get_running_loop().time() + HOLDS.total_seconds()
        await self._server.write(self._bucket, lines.claim(self._series, self._writer, self._tick))

    async def others(self) -> set[str]:
        """The other writers that claim it."""
        csv = await self._server.query(flux.claims(self._bucket, self._series, LASTS))
        return answer.writers(csv, self._tick) - {self._writer}

    async def give_way(self, others: set[str]) -> None:
        """Of several the first by name waits for the rest, and each of the rest leaves the tick for later."""
        if self._writer > min(others):
            await self._server.write(self._bucket, lines.claim(self._series, self._writer, None))
            raise self._taken()
        await asyncio.sleep(LOOK_S)

    def check(self) -> None:
        """StoreUnavailable when so much time went by that another writer may have come."""
        if asyncio.get_running_loop().time() > self._until:
            raise self._taken()

    def _taken(self) -> StoreUnavailable:
        return StoreUnavailable(f"another writer may be at the {self._series} snapshot of {isoformat(self._tick)}")


def writer() -> str:
    """A name of one's own."""
    return uuid.uuid4().hex
