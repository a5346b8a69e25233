"""One tick of one series: source, gate, delivery to the store."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from lib.clock import Clock
from lib.errors import SourceUnavailable, TopcoinsError
from lib.ingest.credits import CreditPlanner
from lib.ingest.delivery import Delivery
from lib.ingest.gate import Gate
from lib.ingest.missed import Cause, MissedTick, MissedTicks, cause_of
from lib.schema import Series
from lib.snapshot import Snapshot
from lib.source import Reading, Source
from lib.store import Store

log = structlog.get_logger()

FETCHING = 0.9
"""The part of an interval in which a tick may fetch; the rest is for the store."""
FIRST = 2 / 3
"""The part of the time left that a source may take while there is another one to ask after it."""


class Ingest:
    """Fills one series: asks its sources in order, admits the first sound answer, hands it over for delivery.

    In `folder`, where there is one, it writes down its credit plan and the ticks that failed.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        store: Store,
        delivery: Delivery,
        clock: Clock,
        assets: int,
        interval: timedelta,
        folder: Path | None = None,
    ) -> None:
        self._sources = sources
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._assets = assets
        self._planners = {
            source.name: CreditPlanner(source, asked=source.interval(interval), clock=clock, folder=folder)
            for source in sources
        }
        self._misses = MissedTicks(folder) if folder else None
        self._before: Snapshot | None = None
        self._failed = 0
        self._used = sources[0].name

    @property
    def series(self) -> Series:
        """What is filled."""
        return self._sources[0].series

    @property
    def interval(self) -> timedelta:
        """The distance between ticks: what was asked, stretched for a keyless pace or for credits that must last."""
        return self._planners[self._used].interval

    async def tick(self, slot: datetime, *, backfilled: bool = False) -> Snapshot | None:
        """Fetch, judge and keep the snapshot of a slot. None when there is no new one: the log tells why.

        What an earlier run fetched for this slot is not paid for again: a restart may be done within its second.
        An outage is logged at its start and at its end, with the number of ticks it took. What waits for the store
        from earlier ticks is delivered too, whatever this one brought.
        """
        try:
            return await self._fetched(slot, backfilled)
        finally:
            await self._delivery.flush()

    def missed(self, slots: Sequence[datetime], cause: Cause, why: str) -> None:
        """Write down ticks that came to nothing."""
        if self._misses:
            self._misses.record(*(MissedTick(slot, cause, why, self.interval) for slot in slots))

    async def _fetched(self, slot: datetime, backfilled: bool) -> Snapshot | None:
        try:
            if self._before is None:
                self._before = await self._kept(slot)
                if self._before and self._before.tick == slot:
                    log.info("tick is there already", series=self.series.name, tick=slot)
                    return None
            snapshot = await self._snapshot(slot, backfilled)
            await self._delivery.accept(snapshot)
        except TopcoinsError as exc:
            self._failed += 1
            say = log.error if self._failed == 1 else log.debug
            say("tick failed", series=self.series.name, tick=slot, why=str(exc), kind=type(exc).__name__)
            self.missed([slot], cause_of(exc), str(exc))
            return None
        except Exception as exc:
            self.missed([slot], cause_of(exc), repr(exc))
            raise
        if self._failed:
            log.warning("ticks succeed again", series=self.series.name, tick=slot, failed=self._failed)
            self._failed = 0
            self.missed([], "crash", "")  # those the disk did not take
        self._before = snapshot
        return snapshot

    async def _snapshot(self, slot: datetime, backfilled: bool) -> Snapshot:
        failures: list[TopcoinsError] = []
        now = asyncio.get_running_loop().time
        until = now() + self.interval.total_seconds() * FETCHING
        for source in self._sources:
            share = 1.0 if source is self._sources[-1] else FIRST
            try:
                reading = await source.read(self._assets, timedelta(seconds=(until - now()) * share))
                snapshot = self._admitted(reading, slot, backfilled)
            except TopcoinsError as exc:
                failures.append(exc)
                continue
            self._tell_change(source.name, failures)
            await self._planners[source.name].spent(reading.credits)
            return snapshot
        raise failures[0] if len(failures) == 1 else _all(failures)

    def _admitted(self, reading: Reading, slot: datetime, backfilled: bool) -> Snapshot:
        snapshot, rejected = Gate(self.interval).admit(
            reading, slot, before=self._before, asked=self._assets, backfilled=backfilled
        )
        marker = snapshot.marker
        log.info(
            "tick",
            series=marker.series,
            tick=slot,
            source=marker.source,
            assets=marker.assets,
            rejected=rejected,
            duplicates=marker.duplicates,
            duration_s=round(marker.duration.total_seconds(), 3),
            credits=marker.credits,
            unchanged=marker.unchanged,
        )
        return snapshot

    def _tell_change(self, name: str, failures: Sequence[TopcoinsError]) -> None:
        if name != self._used:
            why = [str(failure) for failure in failures]
            log.warning("source changed", series=self.series.name, before=self._used, now=name, why=why)
        self._used = name

    async def _kept(self, slot: datetime) -> Snapshot | None:
        """The last snapshot of an earlier run: what was seen before a restart still counts, if it can be read."""
        waiting = await self._delivery.newest()
        if waiting and waiting.tick <= slot:
            return waiting
        try:
            marker = await self._store.nearest(self.series.name, slot)
            if marker is None:
                return None
            return Snapshot(self.series, marker, await self._store.rows(self.series, marker.tick))
        except TopcoinsError as exc:
            log.warning("the snapshot before is not known", series=self.series.name, why=str(exc))
            return None


def _all(failures: Sequence[TopcoinsError]) -> TopcoinsError:
    said = "; then ".join(str(failure) for failure in failures)
    kinds = {type(failure) for failure in failures}
    kind = kinds.pop() if len(kinds) == 1 else SourceUnavailable
    return kind(f"every source failed: {said}")
