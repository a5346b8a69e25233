"""One tick of one series: read a source, judge the list, hand the snapshot to the delivery.

`lib/source/upstream.py` reads, `judge.py` admits a list or refuses it, `delivery.py` brings it to the store.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from lib.clock import Clock, slot
from lib.errors import ClockDisagrees, SnapshotDoubtful, SourceExhausted, TopcoinsError
from lib.ingest.credits import CreditPlanner
from lib.ingest.delivery import Delivery
from lib.ingest.judge import Judge
from lib.ingest.last_reading import write_last_reading
from lib.ingest.missed import Cause, MissedTick, MissedTicks, cause_of
from lib.ingest.outage import Outage, combined
from lib.ingest.source_choice import Failures, SourceChoice
from lib.snapshot import Marker, Snapshot
from lib.source import Reading, Source
from lib.store import Store

log = structlog.get_logger()

PART_FOR_FETCHING = 0.9
"""The part of an interval in which a tick may fetch; the rest is for the store."""
PART_BEFORE_ANOTHER = 2 / 3
"""The part of the remaining time that a source may take when there is another source to ask after it."""


class Ingest:
    """Fills one series: asks its sources in order, judges the answers, accepts the first good one for delivery.

    `assets` is how many a source is asked for, `interval` the distance between ticks that the settings ask for.
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
        self._choice = SourceChoice(sources, clock=clock, folder=folder)
        self.series = sources[0].series
        """The series that is filled."""
        self._store = store
        self._delivery = delivery
        self._clock = clock
        self._assets = assets
        self._planners = {
            source: CreditPlanner(source, assets, asked=source.interval(interval), clock=clock, folder=folder)
            for source in sources
        }
        self._folder = folder
        self._misses = MissedTicks(folder) if folder else None
        self._judge = Judge(assets=assets, folder=folder, clock_check=clock_check)
        # The snapshot before, which the next list is compared with. At the start, and after a doubtful list, the store
        # may have a newer one, so it is read again.
        self._before: Snapshot | None = None
        self._before_is_current = False
        self._outage = Outage(self.series)

    @property
    def interval(self) -> timedelta:
        """The distance between ticks, by the source in use: stretched for its pace or for credits that must last."""
        return self._planners[self._choice.used].interval

    async def tick(self, tick: datetime, *, backfilled: bool = False) -> Snapshot | None:
        """Fetch, judge and accept the snapshot of a tick, then flush; None when there is no new one: the log says why.

        `backfilled` marks a snapshot that is fetched later. A tick that an earlier run fetched is not fetched again.
        An outage is logged when it starts, when another kind of failure joins it, and when it ends.
        Snapshots that wait for the store are flushed also when this tick failed. Better sources than the one in use are
        tried last, when the snapshot is stored.
        """
        now = asyncio.get_running_loop().time
        until = now() + self.interval.total_seconds() * PART_FOR_FETCHING
        failures: Failures = {}
        try:
            snapshot = await self._fetch(tick, backfilled, until, failures)
        finally:
            await self._delivery.flush()
        if snapshot and not backfilled:
            await self._try_better(tick, until, failures)
        return snapshot

    def missed(self, ticks: Sequence[datetime], cause: Cause, why: str) -> None:
        """Record ticks without a snapshot."""
        if self._misses:
            self._misses.record(*(MissedTick(tick, cause, why, self.interval) for tick in ticks))

    async def _fetch(self, tick: datetime, backfilled: bool, until: float, failures: Failures) -> Snapshot | None:
        try:
            if not self._before_is_current:
                self._before = await self._last_known(tick) or self._before
                self._before_is_current = self._before is not None
                if self._before and self._is_same(self._before.tick, tick):
                    log.info("tick is there already", series=self.series.name, tick=tick, stored=self._before.tick)
                    return None
            snapshot = await self._snapshot(tick, backfilled, until, failures)
        except TopcoinsError as exc:
            self._record_failure(tick, exc)
            return None
        except Exception as exc:
            self.missed([tick], cause_of(exc), repr(exc))
            raise
        self._record_success(tick)
        self._before, self._before_is_current = snapshot, True
        return snapshot

    def _is_same(self, stored: datetime, tick: datetime) -> bool:
        """Whether a stored tick makes this one needless. Where credits are short, each interval has one list.

        Otherwise a service that is restarted again and again would spend a list's credits each time.
        """
        planner = self._planners[self._choice.used]
        return stored == tick or (planner.is_stretched and slot(stored, self.interval) == slot(tick, self.interval))

    async def _snapshot(self, tick: datetime, backfilled: bool, until: float, failures: Failures) -> Snapshot:
        """The accepted snapshot of the first source that gives one. Notes the failures of those before it."""
        for source, is_last in self._choice.candidates(failures):
            try:
                within = _time_left(until) * (1.0 if is_last else PART_BEFORE_ANOTHER)
                reading = await source.read(self._assets, within, tick=None if backfilled else tick)
                if self._folder:  # also for a list that is refused: /v1/status shows what came
                    write_last_reading(self._folder, reading)
                snapshot = await self._admitted(source, reading, tick, backfilled)
            except TopcoinsError as exc:
                failures[source] = exc
                await self._note_failure(source, exc)
                continue
            self._choice.use(source, failures)
            return await self._accept(snapshot)
        raise combined(list(failures.values()))

    async def _try_better(self, tick: datetime, until: float, failures: Failures) -> None:
        """Read the sources that are preferred to the one in use, to see whether they stay good."""
        for source in self._choice.better:
            if source in failures:
                continue
            try:
                reading = await source.read(self._assets, _time_left(until), tick=tick)
                await self._planners[source].spent(reading.credits)
                self._choice.answered(source)
            except TopcoinsError as exc:
                await self._note_failure(source, exc)

    async def _note_failure(self, source: Source, error: TopcoinsError) -> None:
        """Note why a source gave no snapshot. When its credits are used up, the credit plan has to say so."""
        self._choice.failed(source)
        if isinstance(error, SourceExhausted):
            await self._planners[source].check()

    async def _admitted(self, source: Source, reading: Reading, tick: datetime, backfilled: bool) -> Snapshot:
        """The snapshot of a reading. A list that is refused was paid for too: the credit planner must know."""
        planner = self._planners[source]
        try:
            snapshot, rejected = self._judge.admit(
                reading, tick, before=self._before, interval=planner.interval, backfilled=backfilled
            )
        except ClockDisagrees:
            planner.record(reading.credits)
            raise
        except TopcoinsError:
            await planner.spent(reading.credits)
            raise
        _log(snapshot.marker, rejected)
        return snapshot

    async def _accept(self, snapshot: Snapshot) -> Snapshot:
        """Put a snapshot on disk, then let the credit planner ask what is left, and choose the interval.

        A marker states when the next tick is expected, so a changed interval goes into the marker as well.
        """
        await self._delivery.accept(snapshot)
        await self._planners[self._choice.used].spent(snapshot.marker.credits)
        if self.interval == snapshot.marker.interval:
            return snapshot
        planned = replace(snapshot, marker=replace(snapshot.marker, interval=self.interval))
        with suppress(TopcoinsError):  # the snapshot is accepted; only the next expected tick differs
            await self._delivery.amend(planned)
        return planned

    def _record_failure(self, tick: datetime, error: TopcoinsError) -> None:
        self._outage.failed(tick, error)
        self.missed([tick], cause_of(error), str(error))
        if isinstance(error, ClockDisagrees) and error.theirs and self._before and error.theirs > self._before.tick:
            self.missed([slot(error.theirs, self.interval)], "clock", str(error))  # either of the two may be wrong
        if isinstance(error, SnapshotDoubtful):  # an operator may admit the doubtful list meanwhile
            self._before_is_current = False

    def _record_success(self, tick: datetime) -> None:
        if self._outage.ended(tick) and self._misses:
            self._misses.record()  # no new one: it writes those that the disk refused earlier

    async def _last_known(self, tick: datetime) -> Snapshot | None:
        """The newest snapshot up to a tick, from the spool or the store; None if there is none or it can't be read."""
        waiting = await self._delivery.newest()
        if waiting and waiting.tick <= tick:
            return waiting
        try:
            marker = await self._store.nearest(self.series.name, tick)
            if marker is None:
                return None
            return Snapshot(self.series, marker, await self._store.rows(self.series, marker.tick))
        except TopcoinsError as exc:
            log.warning("the snapshot before is unknown", series=self.series.name, why=str(exc))
            return None


def _log(marker: Marker, rejected: Mapping[str, int]) -> None:
    log.info(
        "tick",
        series=marker.series,
        tick=marker.tick,
        source=marker.source,
        assets=marker.assets,
        rejected=rejected,
        duplicates=marker.duplicates,
        duration_s=round(marker.duration.total_seconds(), 3),
        credits=marker.credits,
        unchanged=marker.unchanged,
    )


def _time_left(until: float) -> timedelta:
    """The time until an instant of the event loop's clock."""
    return timedelta(seconds=max(0.0, until - asyncio.get_running_loop().time()))
