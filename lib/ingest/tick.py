"""One tick of one series: source, gate, delivery to the store."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from lib.clock import Clock
from lib.errors import ClockDisagrees, SnapshotDoubtful, SourceUnavailable, TopcoinsError
from lib.ingest.credits import CreditPlanner
from lib.ingest.delivery import Delivery
from lib.ingest.judge import Judge
from lib.ingest.last_reading import write_last_reading
from lib.ingest.missed import Cause, MissedTick, MissedTicks, cause_of
from lib.schema import Series
from lib.snapshot import Snapshot
from lib.source import Reading, Source
from lib.store import Store

log = structlog.get_logger()

FETCHING = 0.9
"""The part of an interval in which a tick may fetch; the rest is for the store."""
FIRST = 2 / 3
"""The part of the remaining time that a source may take when there is another source to ask after it."""


class Ingest:
    """Fills one series: asks its sources in order, judges the answers, accepts the first good one for delivery.

    `folder`, where there is one, gets the credit plan, the ticks that failed and the doubtful lists.
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
        clock_check: bool = True,
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
        self._folder = folder
        self._misses = MissedTicks(folder) if folder else None
        self._judge = Judge(assets=assets, folder=folder, clock_check=clock_check)
        self._before: Snapshot | None = None
        self._before_is_current = False
        self._failed = 0
        self._used = sources[0].name

    @property
    def series(self) -> Series:
        """The series that is filled."""
        return self._sources[0].series

    @property
    def interval(self) -> timedelta:
        """The distance between ticks: as asked, or stretched for a keyless pace or for credits that must last."""
        return self._planners[self._used].interval

    async def tick(self, slot: datetime, *, backfilled: bool = False) -> Snapshot | None:
        """Fetch, judge and accept the snapshot of a slot, then flush; None when there is no new one: the log says why.

        A tick that an earlier run fetched is not fetched again. An outage is logged when it starts and when it ends.
        Snapshots that wait for the store are flushed also when this tick failed.
        """
        try:
            return await self._fetch(slot, backfilled)
        finally:
            await self._delivery.flush()

    def missed(self, slots: Sequence[datetime], cause: Cause, why: str) -> None:
        """Record ticks without a snapshot."""
        if self._misses:
            self._misses.record(*(MissedTick(slot, cause, why, self.interval) for slot in slots))

    async def _fetch(self, slot: datetime, backfilled: bool) -> Snapshot | None:
        try:
            if not self._before_is_current:
                self._before = await self._last_known(slot) or self._before
                self._before_is_current = self._before is not None
                if self._before and self._before.tick == slot:
                    log.info("tick is there already", series=self.series.name, tick=slot)
                    return None
            snapshot = await self._snapshot(slot, backfilled)
        except TopcoinsError as exc:
            self._record_failure(slot, exc)
            return None
        except Exception as exc:
            self.missed([slot], cause_of(exc), repr(exc))
            raise
        self._record_success(slot)
        self._before, self._before_is_current = snapshot, True
        return snapshot

    async def _snapshot(self, slot: datetime, backfilled: bool) -> Snapshot:
        """The accepted snapshot of the first source that gives one."""
        failures: list[TopcoinsError] = []
        now = asyncio.get_running_loop().time
        until = now() + self.interval.total_seconds() * FETCHING
        for source in self._sources:
            share = 1.0 if source is self._sources[-1] else FIRST
            try:
                reading = await source.read(self._assets, timedelta(seconds=(until - now()) * share))
                if self._folder:
                    write_last_reading(self._folder, reading)
                snapshot = self._admit(source, reading, slot, backfilled)
            except TopcoinsError as exc:
                failures.append(exc)
                continue
            self._use(source.name, failures)
            return await self._accept(snapshot)
        raise failures[0] if len(failures) == 1 else _all(failures)

    async def _accept(self, snapshot: Snapshot) -> Snapshot:
        """Accept a snapshot, then plan. What was paid for is on disk before anything else is asked."""
        await self._delivery.accept(snapshot)
        await self._planners[self._used].spent(snapshot.marker.credits)
        if self.interval == snapshot.marker.interval:
            return snapshot
        planned = replace(snapshot, marker=replace(snapshot.marker, interval=self.interval))
        with suppress(TopcoinsError):  # the snapshot is accepted; only the next expected tick differs
            await self._delivery.amend(planned)
        return planned

    def _admit(self, source: Source, reading: Reading, slot: datetime, backfilled: bool) -> Snapshot:
        interval = self._planners[source.name].interval
        snapshot, rejected = self._judge.admit(
            reading, slot, before=self._before, interval=interval, backfilled=backfilled
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

    def _use(self, name: str, failures: Sequence[TopcoinsError]) -> None:
        if name != self._used:
            why = [str(failure) for failure in failures]
            log.warning("source changed", series=self.series.name, before=self._used, now=name, why=why)
        self._used = name

    def _record_failure(self, slot: datetime, error: TopcoinsError) -> None:
        self._failed += 1
        write = log.error if self._failed == 1 else log.debug
        write("tick failed", series=self.series.name, tick=slot, why=str(error), kind=type(error).__name__)
        self.missed([slot], cause_of(error), str(error))
        if isinstance(error, SnapshotDoubtful):  # an operator may admit the doubtful list meanwhile
            self._before_is_current = False

    def _record_success(self, slot: datetime) -> None:
        if self._failed:
            log.warning("ticks succeed again", series=self.series.name, tick=slot, failed=self._failed)
            self._failed = 0
            self.missed([], "crash", "")  # writes those that the disk did not take

    async def _last_known(self, slot: datetime) -> Snapshot | None:
        """The last snapshot on disk or in the store, which the next one is compared with; None if it can't be read."""
        waiting = await self._delivery.newest()
        if waiting and waiting.tick <= slot:
            return waiting
        try:
            marker = await self._store.nearest(self.series.name, slot)
            if marker is None:
                return None
            return Snapshot(self.series, marker, await self._store.rows(self.series, marker.tick))
        except TopcoinsError as exc:
            log.warning("the snapshot before is unknown", series=self.series.name, why=str(exc))
            return None


def _all(failures: Sequence[TopcoinsError]) -> TopcoinsError:
    """One error for all, of their common kind. A wrong clock or a doubtful list weighs more than other failures."""
    messages = "; then ".join(str(failure) for failure in failures)
    kinds = {type(failure) for failure in failures}
    weighty = [kind for kind in (ClockDisagrees, SnapshotDoubtful) if kind in kinds]
    kind = kinds.pop() if len(kinds) == 1 else next(iter(weighty), SourceUnavailable)
    return kind(f"every source failed: {messages}")
