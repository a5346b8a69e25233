"""The credit planner: stretches a series' interval so that a key's credits last until their reset.

It reckons with what was measured: the credits each answer cost, and what the key-info call, which is free, says is
left. Whoever else spends the same key shows in what is left, and every planner scales by the same factor.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import structlog

from lib.clock import Clock, isoformat
from lib.errors import TopcoinsError
from lib.source import Source
from lib.units import format_duration

log = structlog.get_logger()

DAY = timedelta(days=1)
LOOK_EVERY = timedelta(minutes=30)
FIRST_LOOK_AFTER = timedelta(minutes=10)
RESERVE = 0.03
"""This part of what is left is not planned with: for retries, and for a reset that comes late."""

ASSUMED_MONTH = timedelta(days=31)
LONGEST = timedelta(hours=24)
FILE = "credits.json"


@dataclass(frozen=True, slots=True)
class Budget:
    """What is left of a key, and how it is spent."""

    left: float
    limit: float
    resets_at: datetime
    told_at: datetime
    per_day: float

    @property
    def lasts_until(self) -> datetime | None:
        """When it runs dry at the present rate; None when that is not before the reset."""
        if self.per_day <= 0:
            return None
        days = self.left / self.per_day
        if days > (self.resets_at - self.told_at) / DAY:
            return None
        return self.told_at + timedelta(days=days)


def planned(asked: timedelta, present: timedelta, *, per_day: float, budget: Budget) -> timedelta:
    """The interval at which the budget lasts: the asked one, doubled as often as it takes.

    Doubling keeps the ticks of a series that is stretched more among those of one that is stretched less, so that
    prices and ranks still meet. `per_day` is what all who use the key spend a day while this series runs at its
    `present` interval.
    """
    days = (budget.resets_at - budget.told_at) / DAY
    allowed = budget.left * (1 - RESERVE)
    needed = present.total_seconds() * per_day * days / allowed if allowed > 0 else math.inf
    interval = asked
    while interval.total_seconds() < min(needed, LONGEST.total_seconds()):
        interval *= 2
    return interval


class CreditPlanner:
    """Plans one series. Without a key that tells what is left it asks nothing and stretches nothing."""

    def __init__(self, source: Source, *, asked: timedelta, clock: Clock, folder: Path | None = None) -> None:
        self._source = source
        self._asked = asked
        self._clock = clock
        self._file = folder / FILE if folder else None
        self._since: Budget | None = None
        self._next = clock()
        self.interval = asked

    async def spent(self, credits: float) -> None:
        """Tell what a tick cost; looks at what is left when it is time, and plans anew."""
        now = self._clock()
        if now < self._next or not credits:
            return
        try:
            budget = await self._budget(credits, now)
        except TopcoinsError as exc:
            log.warning("what is left of the credits is not known", source=self._source.name, why=str(exc))
            self._next = now + LOOK_EVERY
            return
        if budget is None:
            self._next = now + LONGEST
            return
        self._next = now + (LOOK_EVERY if self._since else FIRST_LOOK_AFTER)
        self._plan(budget)
        self._since = budget

    async def _budget(self, credits: float, now: datetime) -> Budget | None:
        allowance = await self._source.allowance()
        if allowance is None:
            return None
        before = self._since
        if before and allowance.left < before.left:
            per_day = (before.left - allowance.left) / ((now - before.told_at) / DAY)
        else:  # nothing measured yet: as if a second series of the same cost used the key
            per_day = 2 * credits * (DAY / self.interval)
        resets_at = allowance.resets_at if allowance.resets_at and allowance.resets_at > now else now + ASSUMED_MONTH
        return Budget(allowance.left, allowance.limit, resets_at, now, per_day)

    def _plan(self, budget: Budget) -> None:
        interval = planned(self._asked, self.interval, per_day=budget.per_day, budget=budget)
        if interval != self.interval:
            log.warning(
                "the credit planner sets another interval",
                source=self._source.name,
                asked=format_duration(self._asked),
                before=format_duration(self.interval),
                now=format_duration(interval),
                credits_left=budget.left,
                resets_at=budget.resets_at,
            )
        budget = replace(budget, per_day=budget.per_day * (self.interval / interval))
        self.interval = interval
        self._tell(budget)

    def _tell(self, budget: Budget) -> None:
        """The plan in a file beside the spool, for /v1/status and doctor."""
        if self._file is None:
            return
        told = {
            "source": self._source.name,
            "left": budget.left,
            "limit": budget.limit,
            "resets_at": isoformat(budget.resets_at),
            "told_at": isoformat(budget.told_at.replace(microsecond=0)),
            "per_day": budget.per_day,
            "lasts_until": isoformat(budget.lasts_until.replace(microsecond=0)) if budget.lasts_until else None,
            "interval_s": self.interval.total_seconds(),
        }
        part = self._file.with_suffix(".part")
        try:
            part.write_bytes(orjson.dumps(told))
            part.rename(self._file)
        except OSError as exc:
            log.warning("the credit plan can't be told", file=str(self._file), why=exc.strerror)
