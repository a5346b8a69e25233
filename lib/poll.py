"""Ticks on the clock: the only file that knows APScheduler."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from lib.clock import Clock, slot

log = structlog.get_logger()

Work = Callable[[datetime], Awaitable[object]]
Interval = Callable[[], timedelta]
"""The distance between ticks now: the credit planner may change it."""


class Aligned(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires once at `start`, then at every multiple of `interval` since the epoch."""

    def __init__(self, start: datetime, interval: Interval) -> None:
        self._start = start
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """APScheduler's question: the fire time after the previous one."""
        if previous_fire_time is None:
            return self._start
        interval = self._interval()
        return slot(previous_fire_time, interval) + interval


class Poll:
    """Calls each piece of work with the slot it belongs to. Slots never stack: while one runs, the next is
    skipped and counted; when several passed unnoticed (a sleeping machine), the newest is worked on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[str, datetime] = {}
        self._running: set[asyncio.Task[object]] = set()
        self._intervals: dict[str, Interval] = {}
        self.skipped: dict[str, int] = {}
        # The default misfire grace of 1 s would drop a late slot without a word.
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._scheduler.add_listener(self._still_running, EVENT_JOB_MAX_INSTANCES)

    def add(self, name: str, work: Work, interval: Interval) -> None:
        """Work to call at once, stamped with the present second, then at every slot of `interval`."""
        self._intervals[name] = interval
        self.skipped[name] = 0
        start = self._clock().replace(microsecond=0)
        self._scheduler.add_job(self._run, Aligned(start, interval), args=[name, work], id=name, next_run_time=start)

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set, then let what runs finish."""
        self._scheduler.start()
        await stop.wait()
        self._scheduler.pause()
        # Its shutdown cancels running coroutines even when told to wait.
        await asyncio.gather(*self._running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def look(self) -> None:
        """Look at the clock now, not at the next planned moment."""
        self._scheduler.wakeup()

    async def _run(self, name: str, work: Work) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        tick = self._slots[name]
        try:
            await work(tick)
        except Exception:
            log.exception("tick crashed", job=name, tick=tick)
        finally:
            self._running.discard(task)

    def _submitted(self, event: JobSubmissionEvent) -> None:
        if missed := self._passed(event) - 1:
            self._count(event.job_id, missed, "ticks missed: nothing ran in their time")

    def _still_running(self, event: JobSubmissionEvent) -> None:
        self._count(event.job_id, self._passed(event), "tick skipped: the one before still runs")

    def _passed(self, event: JobSubmissionEvent) -> int:
        """How many slots came since the last event, that of this one included."""
        at: datetime = event.scheduled_run_times[-1]
        interval = self._intervals[event.job_id]()
        before = self._slots.get(event.job_id, at)
        self._slots[event.job_id] = at
        return max(1, round((at - slot(before, interval)) / interval))

    def _count(self, name: str, ticks: int, why: str) -> None:
        self.skipped[name] += ticks
        log.warning(why, job=name, ticks=ticks, skipped_since_start=self.skipped[name])
