"""The credit planner: stretches a series' interval so that a key's credits last until their reset.

It uses measured figures: the credits that each answer cost, and the credits left by the vendor's key-info call, which
is free. Other users of the same key show in the credits left. All series of one key follow one plan, so that they tick
together: each plan is a file beside its series' spool, and the newest one counts, also after a restart.
"""

import math
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from lib.clock import DAY, MINUTE, Clock
from lib.errors import TopcoinsError
from lib.source import Allowance, Source
from lib.units import format_duration

log = structlog.get_logger()

CHECK_EVERY = timedelta(minutes=30)
FIRST_CHECK_AFTER = timedelta(minutes=10)
MEASURED_TICKS = 8
"""The rate is measured over at least this many ticks: over few, one tick more or less would look like a change."""
RESERVE = 0.03
"""The part of the credits left that the plan does not use: for retries, and for a reset that comes late."""
SHORTEN_MARGIN = 1.1
"""The interval is shortened only if one this much longer than needed is shorter too. Without it, it would swing."""
SPARE_TICKS = 4
"""The plan does not use the credits of this many ticks either."""
INTERVALS = [MINUTE * minutes for minutes in range(1, 1441) if 1440 % minutes == 0]
"""The intervals to stretch to: whole minutes that divide a day."""
LONGEST = INTERVALS[-1]

ASSUMED_MONTH = timedelta(days=31)
FILE = "credits.json"


class CreditPlan(BaseModel):
    """The credits left of a key, how fast they are spent, and the interval at which they last.

    `per_day` is what all users of the key spend a day at that interval, measured since `since`. `told_at` is the time
    of the key-info answer.
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


def empty_at(left: float, per_day: float, now: datetime, resets_at: datetime) -> datetime | None:
    """When the credits run out at this rate; None when they last until the reset."""
    if per_day <= 0 or left / per_day > (resets_at - now) / DAY:
        return None
    return (now + timedelta(days=left / per_day)).replace(microsecond=0)


def needed(left: float, per_day: float, days: float, *, spare: float = 0) -> float:
    """The factor by which spending must slow down so that the credits last this many days."""
    allowed = left * (1 - RESERVE) - spare
    return per_day * days / allowed if allowed > 0 else math.inf


def stretched(asked: timedelta, stretch: float) -> timedelta:
    """The shortest of `INTERVALS` that is at least `stretch` times `asked`; `asked` itself without a stretch."""
    if stretch <= 1:
        return asked
    wanted = asked.total_seconds() * stretch * (1 - 1e-9)
    return next((span for span in INTERVALS if span.total_seconds() >= wanted), max(asked, LONGEST))


class CreditPlanner:
    """Plans one series. For a source without a key, or without a key-info call, the interval stays as asked."""

    def __init__(self, source: Source, *, asked: timedelta, clock: Clock, folder: Path | None = None) -> None:
        self._source = source
        self._asked = asked
        self._clock = clock
        self._folder = folder
        self._plan: CreditPlan | None = None
        self._resumed = False
        self._interval = asked
        self._next = clock()

    @property
    def interval(self) -> timedelta:
        """The distance between ticks: as asked, or stretched. After a restart the earlier plan still counts."""
        if not self._resumed:
            self._resumed = True
            self._follow(self._clock())
        return self._interval

    async def spent(self, credits: float) -> None:
        """Record what a tick cost. When a check is due, ask for the credits left and plan again."""
        now = self._clock()
        self._follow(now)
        if now < self._next or not credits:
            return
        try:
            allowance = await self._source.allowance()
        except (TopcoinsError, OverflowError) as exc:  # OverflowError: a time past the year 9999
            log.warning("the credits left are unknown", source=self._source.name, why=str(exc))
            self._next = now + CHECK_EVERY
            return
        if allowance is None:
            self._next = now + LONGEST
        elif not self._follow(now):  # another series may have asked meanwhile
            self._adopt(self._planned(allowance, credits, now))

    def _planned(self, allowance: Allowance, credits: float, now: datetime) -> CreditPlan:
        left, interval = allowance.left, self.interval
        resets_at = allowance.resets_at if allowance.resets_at and allowance.resets_at > now else now + ASSUMED_MONTH
        per_day, since, since_left = self._measured(left, credits, now)
        stretch = interval / self._asked
        stretch *= needed(left, per_day, (resets_at - now) / DAY, spare=SPARE_TICKS * credits)
        chosen = stretched(self._asked, stretch)
        if chosen < interval:
            chosen = min(interval, stretched(self._asked, stretch * SHORTEN_MARGIN))
        if chosen != interval:
            lasts = chosen.total_seconds() >= self._asked.total_seconds() * stretch
            self._log_change(chosen, allowance, resets_at, lasts=lasts)
            since, since_left = now, left
            per_day *= interval / chosen
        return CreditPlan(
            source=self._source.name,
            key=self._source.key_setting,
            left=left,
            limit=allowance.limit,
            resets_at=resets_at,
            told_at=now.replace(microsecond=0),
            per_day=per_day,
            lasts_until=empty_at(left, per_day, now, resets_at),
            interval_s=chosen.total_seconds(),
            stretch=chosen / self._asked,
            since=since,
            since_left=since_left,
        )

    def _measured(self, left: float, credits: float, now: datetime) -> tuple[float, datetime, float]:
        """The credits spent a day, since when that is measured, and the credits left at that time."""
        before = self._plan
        if before is None:  # nothing measured yet: assume a second series of the same cost on this key
            return 2 * credits * (DAY / self.interval), now, left
        if left > before.since_left:  # a reset, or credits bought
            return before.per_day, now, left
        span = now - before.since
        if span < max(FIRST_CHECK_AFTER, MEASURED_TICKS * self.interval):
            return before.per_day, before.since, before.since_left
        per_day = (before.since_left - left) / (span / DAY)
        return (per_day, now, left) if span >= DAY else (per_day, before.since, before.since_left)

    def _log_change(self, chosen: timedelta, allowance: Allowance, resets_at: datetime, *, lasts: bool) -> None:
        write = log.warning if lasts else log.error
        write(
            "the credit planner sets another interval" if lasts else "the credits can't last: ask for fewer assets",
            source=self._source.name,
            asked=format_duration(self._asked),
            before=format_duration(self._interval),
            now=format_duration(chosen),
            credits_left=allowance.left,
            resets_at=resets_at,
        )

    def _follow(self, now: datetime) -> bool:
        """Use the newest plan of our key if it is newer than ours; whether it was."""
        ours = self._plan.told_at if self._plan else None
        plans = read_plans(self._folder.parent) if self._folder else []
        plans = [
            plan for plan in plans if plan.key == self._source.key_setting and plan.told_at <= now < plan.resets_at
        ]
        newest = max(plans, key=lambda plan: plan.told_at, default=None)
        if newest is None or (ours and newest.told_at <= ours):
            return False
        self._use(newest)
        return True

    def _adopt(self, plan: CreditPlan) -> None:
        """Use a plan of our own, and write it for the other series, /v1/status and doctor."""
        is_first = self._plan is None
        self._use(plan)
        if is_first:
            self._next = plan.told_at + FIRST_CHECK_AFTER
        if self._folder is None:
            return
        part = self._folder / f"{FILE}.part"
        try:
            part.write_text(plan.model_dump_json(), "utf-8")
            part.rename(self._folder / FILE)
        except OSError as exc:
            log.warning("the credit plan can't be written", folder=str(self._folder), why=exc.strerror)

    def _use(self, plan: CreditPlan) -> None:
        self._plan = plan
        self._interval = stretched(self._asked, plan.stretch)
        self._next = plan.told_at + CHECK_EVERY


def read_plans(folder: Path) -> list[CreditPlan]:
    """The plans of all series under the spools' folder, without those that can't be read."""
    plans = []
    for file in sorted(folder.glob(f"*/{FILE}")):
        try:
            plans.append(CreditPlan.model_validate_json(file.read_bytes()))
        except (OSError, ValidationError):
            continue
    return plans
