"""Which writer may write a tick. InfluxDB has no transactions: if two wrote one tick, rows of both would stay."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from lib.clock import Clock, isoformat
from lib.errors import StoreMalformed, StoreUnavailable
from lib.snapshot import Marker, Snapshot
from lib.store import warn_if_different
from lib.store.influx import flux, lines
from lib.store.influx.markers import optional_time, points_of, read_leftovers
from lib.store.influx.server import Server

VALID = timedelta(seconds=30)
"""Other writers respect a claim for so long, by the server's clock; then its writer counts as dead."""
USED = timedelta(seconds=15)
"""Its own writer relies on a claim for so long: a request that it sends by then ends before the claim does."""
NEW = 2 * VALID
"""A marker that was stored longer ago is older than every write that is under way, even if clocks differ a little."""
CHECK_EVERY_S = 0.05


class ClaimLine(NamedTuple):
    """A writer's claim on a tick, made `at` an instant of its own clock. Claims of earlier versions lack that."""

    series: str
    tick: datetime
    writer: str
    at: datetime | None


def read_claims(csv: str) -> list[ClaimLine]:
    """The claims, without those given up."""
    return [
        ClaimLine(series, tick, writer, optional_time(fields, "at"))
        for (series, writer), fields in points_of(csv, "series", "writer").items()
        if (tick := optional_time(fields, "tick"))
    ]


@dataclass(slots=True)
class Claim:
    """One writer's claim on a snapshot's tick. A writer that claims and then sees no other claim may write."""

    server: Server
    writer: str
    bucket: str
    snapshot: Snapshot
    clock: Clock
    _until: float = 0.0

    async def clear(self) -> bool:
        """Claim the tick; whether it is free. False when it has a snapshot already: the first one stays.

        Deletes the rows of an unfinished write. A new row replaces an old one only where all tags are equal. An asset
        with another ticker, or one that the new list lacks, would stay.
        """
        try:
            has_rows, markers = await self._leftovers()
        except StoreMalformed as exc:  # the snapshot is not at fault: it must wait
            raise StoreUnavailable(str(exc)) from exc
        if markers:
            warn_if_different(markers[0], self.snapshot.marker)
        elif has_rows:
            self.check()
            for predicate in (flux.is_marker(self.snapshot.series), flux.is_row(self.snapshot.series)):
                await self.server.delete(self.bucket, self._tick, predicate)
        return not markers

    def check(self) -> None:
        """StoreUnavailable when the claim is so old that another writer may be at work."""
        if asyncio.get_running_loop().time() > self._until:
            raise self._taken()

    @property
    def _tick(self) -> datetime:
        return self.snapshot.tick.replace(microsecond=0)

    async def _leftovers(self) -> tuple[bool, list[Marker]]:
        """Whether an earlier write left rows, and its markers; once it is complete or no other writer is at work."""
        self._until = asyncio.get_running_loop().time() + USED.total_seconds()
        await self._write(self._tick)
        query = flux.leftovers(self.bucket, self.snapshot.series, self._tick)
        while True:
            others = await self._others()
            has_rows, markers = await self.server.query(query, read_leftovers)
            if markers or not others:
                return has_rows, markers
            await self._give_way(others)
            self.check()

    async def _write(self, tick: datetime | None) -> None:
        line = lines.claim(self.snapshot.series.name, self.writer, tick, self.clock())
        await self.server.write(self.bucket, line)

    async def _others(self) -> set[str]:
        """The other writers that claim it."""
        claims = await self.server.query(flux.claims(self.bucket, VALID), read_claims)
        own = (self.snapshot.series.name, self._tick)
        return {claim.writer for claim in claims if (claim.series, claim.tick) == own} - {self.writer}

    async def _give_way(self, others: set[str]) -> None:
        """If several writers claim a tick, the one with the smallest name waits; the others retry later."""
        if self.writer > min(others):
            await self._write(None)
            raise self._taken()
        await asyncio.sleep(CHECK_EVERY_S)

    def _taken(self) -> StoreUnavailable:
        text = f"another writer may be writing the {self.snapshot.series.name} snapshot of {isoformat(self._tick)}"
        return StoreUnavailable(text)


def any_new(markers: Iterable[Marker], now: datetime) -> bool:
    """Whether one of the markers may have been stored while an older write is still under way."""
    return any(now - marker.visible_since < NEW for marker in markers)


def without_unsettled(
    markers: Sequence[Marker], claims: Iterable[ClaimLine], start: datetime, stop: datetime
) -> list[Marker]:
    """The markers of a span without those stored after a write of the span began that has not ended.

    That write's marker may turn out to be older: an answer with the newer ones could not be had again.
    """
    written = {(marker.series, marker.tick) for marker in markers}
    running = [claim.at for claim in claims if claim.at and start <= claim.tick <= stop and claim[:2] not in written]
    return [marker for marker in markers if all(marker.visible_since < began for began in running)]
