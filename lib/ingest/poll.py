"""Ticks on the clock. The only file that uses APScheduler."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from lib.clock import Clock, slot
from lib.ingest.missed import Cause

log = structlog.get_logger()

Work = Callable[[datetime], Awaitable[object]]
Interval = Callable[[], timedelta]
"""Returns the distance between ticks, which the credit planner may change."""

OnMissed = Callable[[Sequence[datetime], Cause, str], None]
"""Called with the slots in which no work began, and why."""

CHECK_EVERY = timedelta(seconds=5)
MOST_REPORTED = 1440
"""If more slots than this were missed at once, only the newest are reported."""
FIRST_WAIT = timedelta(seconds=5)
"""A start this close to a slot waits for it. Its first tick would still run then, and the slot would be lost."""


class Aligned(BaseTrigger):  # type: ignore[misc]  # APScheduler 3 has no types
    """Fires once at `start`, then at every multiple of `interval` since the epoch."""

    def __init__(self, start: datetime, interval: Interval) -> None:
        self._start = start
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The fire time after the previous one. APScheduler asks again until the time is not past.

        Skips slots that are long past: a clock set forward by years would keep it busy for minutes.
        """
        if previous_fire_time is None:
            return self._start
        interval = self._interval()
        return max(slot(previous_fire_time, interval) + interval, slot(now, interval))


class Poll:
    """Calls each piece of work with the slot it belongs to.

    Slots never stack: while one runs, the next is skipped and counted. When several passed unnoticed, for example while
    the machine slept, the newest is worked on.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock()
        self._slots: dict[str, datetime] = {}
        self._running: set[asyncio.Task[object]] = set()
        self._intervals: dict[str, Interval] = {}
        self._on_missed: dict[str, OnMissed] = {}
        self.skipped: dict[str, int] = {}
        # The default misfire grace of 1 s would drop a late slot without a log line.
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        )
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._scheduler.add_listener(self._still_running, EVENT_JOB_MAX_INSTANCES)

    def add(
        self, name: str, work: Work, interval: Interval, on_missed: OnMissed = lambda slots, cause, why: None
    ) -> None:
        """Add work to call at once, stamped with the present second, and then at every slot of `interval`."""
        self._intervals[name] = interval
        self._on_missed[name] = on_missed
        self.skipped[name] = 0
        now = self._clock()
        start = _next_slot(now, interval())
        if start - now > min(FIRST_WAIT, interval() / 10):
            start = now.replace(microsecond=0)
        self._scheduler.add_job(self._run, Aligned(start, interval), args=[name, work], id=name, next_run_time=start)

    async def run(self, stop: asyncio.Event) -> None:
        """Poll until `stop` is set, then let running work finish."""
        self._scheduler.start()
        check = asyncio.create_task(self._keep_checking())
        await stop.wait()
        check.cancel()
        self._scheduler.pause()
        # Its shutdown cancels running coroutines, also with wait=True.
        await asyncio.gather(*self._running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def check_clock(self) -> None:
        """Re-check the clock and the intervals: the next run may be hours away if the clock was set back."""
        now = self._clock()
        if now < self._seen:
            log.warning("the clock was set back", before=self._seen, now=now)
        self._seen = now
        for job in self._scheduler.get_jobs():
            self._plan_next(job, now)
        self._scheduler.wakeup()

    def _plan_next(self, job: Job, now: datetime) -> None:
        """Move a run of the future to the next slot. It lies elsewhere if the clock or the interval changed."""
        if not job.next_run_time or job.next_run_time <= now:
            return
        interval = self._intervals[job.id]()
        following = _next_slot(now, interval)
        if following == self._slots.get(job.id):  # done already, before the clock was set back a little
            following += interval
        if following != job.next_run_time:
            job.modify(next_run_time=following)

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY.total_seconds())
            self.check_clock()

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
            if job := self._scheduler.get_job(name):  # a tick may change its interval
                self._plan_next(job, self._clock())

    def _submitted(self, event: JobSubmissionEvent) -> None:
        at, passed = self._passed(event)
        if passed > 1:
            at -= self._intervals[event.job_id]()
            self._report(event.job_id, at, passed - 1, "not running", "ticks missed: nothing ran in their time")

    def _still_running(self, event: JobSubmissionEvent) -> None:
        self._report(event.job_id, *self._passed(event), "busy", "tick skipped: the one before still runs")

    def _passed(self, event: JobSubmissionEvent) -> tuple[datetime, int]:
        """The slot of an event, and the number of slots since the one before, itself included."""
        at: datetime = event.scheduled_run_times[-1]
        interval = self._intervals[event.job_id]()
        before = self._slots.get(event.job_id, at)
        self._slots[event.job_id] = at
        return at, max(1, round((at - slot(before, interval)) / interval))

    def _report(self, name: str, last: datetime, ticks: int, cause: Cause, why: str) -> None:
        self.skipped[name] += ticks
        log.warning(why, job=name, ticks=ticks, skipped_since_start=self.skipped[name])
        interval = self._intervals[name]()
        slots = [last - n * interval for n in reversed(range(min(ticks, MOST_REPORTED)))]
        self._on_missed[name](slots, cause, why)


def _next_slot(now: datetime, interval: timedelta) -> datetime:
    return slot(now, interval) + interval
