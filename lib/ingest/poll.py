"""Ticks on the clock: the only file that knows APScheduler."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from lib.clock import Clock, slot
from lib.ingest.missed import Cause

log = structlog.get_logger()

Work = Callable[[datetime], Awaitable[object]]
Interval = Callable[[], timedelta]
"""The distance between ticks now: the credit planner may change it."""

Missed = Callable[[Sequence[datetime], Cause, str], None]
"""Told of slots in which no work was begun, and why."""

LOOK_EVERY = timedelta(seconds=5)
MOST_TOLD = 1440
"""Of more slots than these that were missed at once, only the newest are told."""


class Aligned(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires once at `start`, then at every multiple of `interval` since the epoch."""

    def __init__(self, start: datetime, interval: Interval) -> None:
        self._start = start
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """APScheduler's question: the fire time after the previous one, which it asks until that is not past.

        Slots long past are stepped over: a clock set forward by years would keep it busy for minutes.
        """
        if previous_fire_time is None:
            return self._start
        interval = self._interval()
        return max(slot(previous_fire_time, interval) + interval, slot(now, interval))


class Poll:
    """Calls each piece of work with the slot it belongs to. Slots never stack: while one runs, the next is
    skipped and counted; when several passed unnoticed (a sleeping machine), the newest is worked on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[str, datetime] = {}
        self._running: set[asyncio.Task[object]] = set()
        self._intervals: dict[str, Interval] = {}
        self._missed: dict[str, Missed] = {}
        self.skipped: dict[str, int] = {}
        # The default misfire grace of 1 s would drop a late slot without a word.
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._scheduler.add_listener(self._still_running, EVENT_JOB_MAX_INSTANCES)

    def add(self, name: str, work: Work, interval: Interval, missed: Missed = lambda slots, cause, why: None) -> None:
        """Work to call at once, stamped with the present second, then at every slot of `interval`."""
        self._intervals[name] = interval
        self._missed[name] = missed
        self.skipped[name] = 0
        start = self._clock().replace(microsecond=0)
        self._scheduler.add_job(self._run, Aligned(start, interval), args=[name, work], id=name, next_run_time=start)

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set, then let what runs finish."""
        self._scheduler.start()
        watch = asyncio.create_task(self._watch())
        await stop.wait()
        watch.cancel()
        self._scheduler.pause()
        # Its shutdown cancels running coroutines even when told to wait.
        await asyncio.gather(*self._running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def look(self) -> None:
        """Look at the clock now, not at the next planned moment. One that was set back would else be waited for."""
        now = self._clock()
        for job in self._scheduler.get_jobs():
            interval = self._intervals[job.id]()
            if job.next_run_time and job.next_run_time > now + interval:
                again = slot(now, interval) + interval
                log.warning("the clock was set back", job=job.id, planned=job.next_run_time, now=again)
                job.modify(next_run_time=again)
        self._scheduler.wakeup()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            self.look()

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
        at, passed = self._passed(event)
        if passed > 1:
            at -= self._intervals[event.job_id]()
            self._tell(event.job_id, at, passed - 1, "not running", "ticks missed: nothing ran in their time")

    def _still_running(self, event: JobSubmissionEvent) -> None:
        self._tell(event.job_id, *self._passed(event), "busy", "tick skipped: the one before still runs")

    def _passed(self, event: JobSubmissionEvent) -> tuple[datetime, int]:
        """The slot of an event, and how many came since the one before, itself included."""
        at: datetime = event.scheduled_run_times[-1]
        interval = self._intervals[event.job_id]()
        before = self._slots.get(event.job_id, at)
        self._slots[event.job_id] = at
        return at, max(1, round((at - slot(before, interval)) / interval))

    def _tell(self, name: str, last: datetime, ticks: int, cause: Cause, why: str) -> None:
        self.skipped[name] += ticks
        log.warning(why, job=name, ticks=ticks, skipped_since_start=self.skipped[name])
        interval = self._intervals[name]()
        self._missed[name]([last - n * interval for n in reversed(range(min(ticks, MOST_TOLD)))], cause, why)
