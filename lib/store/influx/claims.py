"""Which writer may write a tick. InfluxDB has no transactions: if two wrote one tick, rows of both would stay."""

import asyncio
from datetime import datetime, timedelta

from lib.clock import isoformat
from lib.errors import StoreUnavailable
from lib.schema import Series
from lib.snapshot import Marker
from lib.store.influx import answer, flux, lines
from lib.store.influx.server import Server

VALID = timedelta(seconds=30)
"""Other writers respect a claim for so long, by the server's clock; then its writer counts as dead."""
USED = timedelta(seconds=15)
"""Its own writer relies on a claim for so long: a request that it sends by then ends before the claim does."""
CHECK_EVERY_S = 0.05


class Claim:
    """One writer's claim on a tick of a series. A writer that claims and then sees no other claim may write."""

    def __init__(self, server: Server, writer: str, bucket: str, series: Series, tick: datetime) -> None:
        self._server = server
        self._writer = writer
        self._bucket = bucket
        self._series = series
        self._tick = tick
        self._until = 0.0

    async def leftovers(self) -> tuple[bool, list[Marker]]:
        """Claim the tick. Whether an earlier write left rows, and its markers; once no other writer is at work."""
        self._until = asyncio.get_running_loop().time() + USED.total_seconds()
        await self._server.write(self._bucket, lines.claim(self._series.name, self._writer, self._tick))
        query = flux.leftovers(self._bucket, self._series, self._tick)
        while True:
            others = await self._others()
            has_rows, markers = await self._server.query(query, answer.leftovers)
            if markers or not others:
                return has_rows, markers
            await self._give_way(others)
            self.check()

    def check(self) -> None:
        """StoreUnavailable when the claim is so old that another writer may be at work."""
        if asyncio.get_running_loop().time() > self._until:
            raise self._taken()

    async def _others(self) -> set[str]:
        """The other writers that claim it."""
        query = flux.claims(self._bucket, self._series.name, VALID)
        return await self._server.query(query, lambda csv: answer.writers(csv, self._tick)) - {self._writer}

    async def _give_way(self, others: set[str]) -> None:
        """If several writers claim a tick, the one with the smallest name waits; the others retry later."""
        if self._writer > min(others):
            await self._server.write(self._bucket, lines.claim(self._series.name, self._writer, None))
            raise self._taken()
        await asyncio.sleep(CHECK_EVERY_S)

    def _taken(self) -> StoreUnavailable:
        text = f"another writer may be writing the {self._series.name} snapshot of {isoformat(self._tick)}"
        return StoreUnavailable(text)
