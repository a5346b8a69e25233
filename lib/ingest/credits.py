"""The credit planner: stretches a series' interval so that a key's credits last until their reset.

It reckons with what was measured: the credits each answer cost, and what the key-info call, which is free, says is
left. Whoever else spends the same key shows in what is left. All series of one key follow one plan, so that they keep
ticking together: it is in a file beside each one's spool, and the newest counts, also after a restart.
"""

import math
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lib.clock import Clock
from lib.errors import TopcoinsError
from lib.source import Allowance, Source
from lib.units import format_duration

log = structlog.get_logger()

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
LOOK_EVERY = timedelta(minutes=30)
FIRST_LOOK_AFTER = timedelta(minutes=10)
MEASURED_TICKS = 8
"""What is spent is measured over so many ticks at least: over few, one more or less would count as a change."""
RESERVE = 0.03
"""This part of what is left is not planned with: for retries, and for a reset that comes late."""
CALM = 1.1
"""An interval is shortened only where one so much longer than needed would be shorter too: else it would swing."""
SPARE_TICKS = 4
"""Nor are so many ticks."""
RUNGS = [MINUTE * minutes for minutes in range(1, 1441) if 1440 % minutes == 0]
"""The intervals to stretch to: whole minutes of which a day has a whole number."""
LONGEST = RUNGS[-1]

ASSUMED_MONTH = timedelta(days=31)
FILE = "credits.json"


class Plan(BaseModel):
    """What is left of a key, how fast it is spent, and the interval at which it lasts.

    `per_day` is what all who use the key spend a day at that interval; `since` is from where on it is measured.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    key: str
    left: float
    limit: float
    resets_at: AwareDatetime
    told_at: AwareDatetime
    per_day: float
    lasts_until: AwareDatetime | None
    interval_s: float
    stretch: float
    since: AwareDatetime
    since_left: float


def runs_dry(left: float, per_day: float, now: datetime, resets_at: datetime) -> datetime | None:
    """When credits run dry at this rate; None when that is not before the reset."""
    if per_day <= 0 or left / per_day > (resets_at - now) / DAY:
        return None
    return (now + timedelta(days=left / per_day)).replace(microsecond=0)


def needed(left: float, per_day: float, days: float, *, spare: float = 0) -> float:
    """How many times slower than now a key must be spent to last so many days."""
    allowed = left * (1 - RESERVE) - spare
    return per_day * days / allowed if allowed > 0 else math.inf


def stretched(asked: timedelta, stretch: float) -> timedelta:
    """The shortest interval of `RUNGS` that is as much longer than the asked one; that one itself where it does."""
    if stretch <= 1:
        return asked
    wanted = asked.total_seconds() * stretch * (1 - 1e-9)
    return next((rung for rung in RUNGS if rung.total_seconds() >= wanted), max(asked, LONGEST))


class CreditPlanner:
    """Plans one series. Without a key that tells what is left it asks nothing and stretches nothing."""

    def __init__(self, source: Source, *, asked: timedelta, clock: Clock, folder: Path | None = None) -> None:
        self._source = source
        self._asked = asked
        self._clock = clock
        self._folder = folder
        self._plan: Plan | None = None
        self._resumed = False
        self._interval = asked
        self._next = clock()

    @property
    def interval(self) -> timedelta:
        """The distance between ticks: as asked, or stretched. After a restart, as it was planned before."""
        if not self._resumed:
            self._resumed = True
            self._follow(self._clock())
        return self._interval

    async def spent(self, credits: float) -> None:
        """Tell what a tick cost; looks at what is left when it is time, and plans anew."""
        now = self._clock()
        self._follow(now)
        if now < self._next or not credits:
            return
        try:
            allowance = await self._source.allowance()
        except TopcoinsError as exc:
            log.warning("what is left of the credits is not known", source=self._source.name, why=str(exc))
            self._next = now + LOOK_EVERY
            return
        if allowance is None:
            self._next = now + LONGEST
        elif not self._follow(now):  # another series may have looked meanwhile
            self._adopt(self._planned(allowance, credits, now))

    def _planned(self, allowance: Allowance, credits: float, now: datetime) -> Plan:
        left, before, interval = allowance.left, self._plan, self.interval
        resets_at = allowance.resets_at if allowance.resets_at and allowance.resets_at > now else now + ASSUMED_MONTH
        since, since_left = (before.since, before.since_left) if before else (now, left)
        # Nothing measured yet: as if a second series of the same cost used the key.
        per_day = before.per_day if before else 2 * credits * (DAY / interval)
        if left > since_left:  # a reset, or credits bought
            since, since_left = now, left
        elif now - since >= max(FIRST_LOOK_AFTER, MEASURED_TICKS * interval):
            per_day = (since_left - left) / ((now - since) / DAY)
            if now - since >= DAY:
                since, since_left = now, left
        present = interval / self._asked
        stretch = present * needed(left, per_day, (resets_at - now) / DAY, spare=SPARE_TICKS * credits)
        chosen = stretched(self._asked, stretch)
        if chosen < interval:
            chosen = min(interval, stretched(self._asked, stretch * CALM))
        if chosen != interval:
            lasts = chosen.total_seconds() >= self._asked.total_seconds() * stretch
            self._tell_change(chosen, allowance, resets_at, lasts=lasts)
            since, since_left = now, left
            per_day *= interval / chosen
        return Plan(
            source=self._source.name,
            key=self._source.key_setting,
            left=left,
            limit=allowance.limit,
            resets_at=resets_at,
            told_at=now.replace(microsecond=0),
            per_day=per_day,
            lasts_until=runs_dry(left, per_day, now, resets_at),
            interval_s=chosen.total_seconds(),
            stretch=chosen / self._asked,
            since=since,
            since_left=since_left,
        )

    def _tell_change(self, chosen: timedelta, allowance: Allowance, resets_at: datetime, *, lasts: bool) -> None:
        say = log.warning if lasts else log.error
        say(
            "the credit planner sets another interval" if lasts else "the credits can't last: ask for fewer assets",
            source=self._source.name,
            asked=format_duration(self._asked),
            before=format_duration(self._interval),
            now=format_duration(chosen),
            credits_left=allowance.left,
            resets_at=resets_at,
        )

    def _follow(self, now: datetime) -> bool:
        """Take over the newest plan of our key, if it is newer than ours."""
        known = self._plan.told_at if self._plan else None
        told = [plan for plan in self._told() if plan.key == self._source.key_setting and plan.resets_at > now]
        newest = max(told, key=lambda plan: plan.told_at, default=None)
        if newest is None or newest.told_at > now or (known and newest.told_at <= known):
            return False
        self._take(newest)
        return True

    def _adopt(self, plan: Plan) -> None:
        """Follow a plan of our own, and tell it to the other series, /v1/status and doctor."""
        first = self._plan is None
        self._take(plan)
        if first:
            self._next = plan.told_at + FIRST_LOOK_AFTER
        if self._folder is None:
            return
        part = self._folder / f"{FILE}.part"
        try:
            part.write_text(plan.model_dump_json(), "utf-8")
            part.rename(self._folder / FILE)
        except OSError as exc:
            log.warning("the credit plan can't be told", folder=str(self._folder), why=exc.strerror)

    def _take(self, plan: Plan) -> None:
        self._plan = plan
        self._interval = stretched(self._asked, plan.stretch)
        self._next = plan.told_at + LOOK_EVERY

    def _told(self) -> list[Plan]:
        """The plans beside ours, and our own of an earlier run."""
        return told_plans(self._folder.parent) if self._folder else []


def told_plans(folder: Path) -> list[Plan]:
    """The plans of all series under the spools' folder; what can't be read is none."""
    plans = []
    for file in sorted(folder.glob(f"*/{FILE}")):
        try:
            plans.append(Plan.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            continue
    return plans
