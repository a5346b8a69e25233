"""The credit planner: stretches a series' interval so that a key's credits last until their reset.

It uses measured figures: the credits that each answer cost, and the credits left by the vendor's key-info call, which
is free. Other users of the same key show in the credits left. All series of one key follow one plan, so that they tick
together: each plan is a file beside its series' spool, and the newest one counts, also after a restart.
"""

from datetime import datetime, timedelta
from pathlib import Path

import structlog

from lib.clock import DAY, HOUR, Clock, next_month, slot
from lib.errors import TopcoinsError
from lib.ingest.credit_plan import (
    FILE,
    LONGEST_PERIOD,
    SHARES,
    CreditPlan,
    at_least,
    choose_interval,
    empty_at,
    read_plans,
    shortest,
    usual_share,
)
from lib.ingest.spending import CANNOT_WRITE, SpendingFile, Spent
from lib.ingest.state_file import save_state
from lib.source import Allowance, Source
from lib.units import format_duration

log = structlog.get_logger()

CHECK_EVERY = timedelta(minutes=30)
FIRST_CHECK_AFTER = timedelta(minutes=10)
CAUTIOUS = timedelta(minutes=15)
"""The shortest interval while a key's credits, or the cost of a list, are unknown."""
MEASURED_SLOTS = 4
"""A tick's cost is measured over at least so many ticks where the answers do not report it."""


class CreditPlanner:
    """Plans one series. Without a key-info call and without a budget, the interval stays as asked."""

    def __init__(self, source: Source, assets: int, *, asked: timedelta, clock: Clock, folder: Path | None) -> None:
        self._source = source
        self._asked = asked
        self._clock = clock
        self._folder = folder
        self._is_planned = source.has_quota or source.budget is not None
        self._spending = SpendingFile(folder, source.allowance_name, source.list_address, source.requests(assets))
        self._plan: CreditPlan | None = None
        self._resumed = False
        self._interval = asked
        self._next = clock()

    @property
    def interval(self) -> timedelta:
        """The distance between ticks: as asked, or stretched. After a restart the earlier plan still counts.

        After the reset, a long interval gives way at once: the first tick brings the new plan.
        """
        now = self._clock()
        if not self._resumed:
            self._resumed = True
            self._follow(now)
        if self._plan and now >= self._plan.resets_at:
            return min(self._interval, at_least(self._asked, CAUTIOUS))
        return self._interval

    @property
    def is_stretched(self) -> bool:
        """Whether the interval is longer than asked, so that the credits last."""
        return self.interval > self._asked

    async def spent(self, credits: float) -> None:
        """Record what a list cost, 0 where another series paid, and plan again. A refused list was paid for too."""
        self.record(credits)
        await self.check()

    def record(self, credits: float) -> None:
        """Record what a list cost. Do no more where our clock is wrong: the plan would be for the wrong month."""
        if self._is_planned:
            self._spending.add(credits, self._clock())

    async def check(self) -> None:
        """When a check is due, ask what is left and plan again."""
        if not self._is_planned:
            return
        now = self._clock()
        self._follow(now)
        if not self._is_due(now):
            return
        allowance = await self._allowance(now)
        if self._follow(now):  # another series asked meanwhile
            return
        if allowance is None or self._is_from_before_the_reset(allowance, now):
            self._next = now + FIRST_CHECK_AFTER
        else:
            self._adopt(self._planned(allowance, now))

    def _is_due(self, now: datetime) -> bool:
        """Whether to ask again. A clock that was set back or past the reset makes the plan worthless."""
        plan = self._plan
        return now >= self._next or (plan is not None and not plan.told_at <= now < plan.resets_at)

    async def _allowance(self, now: datetime) -> Allowance | None:
        """What is left, by the vendor; before its first answer, and where it never answers, by our own count."""
        if self._source.has_quota:
            try:
                return await self._source.allowance()
            except (TopcoinsError, OverflowError) as exc:  # OverflowError: a time past the year 9999
                log.warning("the credits left are unknown", source=self._source.name, why=str(exc))
            if self._plan and not self._plan.counted:
                return None  # the plan made from its last answer still counts
        if (month := self._source.budget) is not None:
            used = self._spending.all().in_month(now)
            return Allowance(max(0.0, month - used), month, next_month(now), counted=True)
        self._interval = max(self._interval, at_least(self._asked, CAUTIOUS))
        return None

    def _is_from_before_the_reset(self, allowance: Allowance, now: datetime) -> bool:
        """Whether the reset is over and the answer does not know it yet: then the plan stays for a while."""
        plan = self._plan
        if plan is None or plan.counted or now < plan.resets_at:
            return False
        if allowance.resets_at and allowance.resets_at <= now:
            return now < plan.resets_at + DAY
        return allowance.left <= plan.left and now < plan.resets_at + HOUR

    def _planned(self, allowance: Allowance, now: datetime) -> CreditPlan:
        spent, before, interval = self._spending.all(), self._before(allowance, now), self.interval
        resets_at = next_month(now)
        if allowance.resets_at and now < allowance.resets_at <= now + LONGEST_PERIOD:
            resets_at = allowance.resets_at
        shares = self._shares(before, allowance, spent, now)
        per_slot = self._per_slot(before, allowance, spent, now)
        sure = self._sure(allowance, spent, per_slot, now)
        share = usual_share(shares)
        chosen = interval if per_slot else max(interval, at_least(self._asked, CAUTIOUS))
        if sure > per_slot > 0:  # without credits for a tick, asking costs nothing
            remaining = max(resets_at - now, HOUR)
            chosen = choose_interval(
                self._asked, interval, left=sure, per_slot=per_slot, share=share, remaining=remaining
            )
        requests = sum(each.requests for each in spent.lists(now, interval))
        chosen = max(chosen, shortest(self._asked, requests, allowance.per_minute))
        per_day = per_slot * share * (DAY / chosen)
        lasts_until = empty_at(sure, per_day, now, resets_at)
        if chosen != interval:
            self._log_change(chosen, allowance, resets_at, lasts=lasts_until is None)
        continues = before is not None and chosen == interval
        return CreditPlan(
            source=self._source.name,
            key=self._source.allowance_name,
            left=allowance.left,
            limit=allowance.limit,
            counted=allowance.counted,
            resets_at=resets_at,
            told_at=now,
            per_day=per_day,
            lasts_until=lasts_until,
            interval_s=chosen.total_seconds(),
            sure=sure,
            spent=spent.credits,
            shares=shares,
            since=before.since if before and continues else now,
            since_left=before.since_left if before and continues else allowance.left,
            since_spent=before.since_spent if before and continues else spent.credits,
        )

    def _before(self, allowance: Allowance, now: datetime) -> CreditPlan | None:
        """The plan that the answer continues: none at a reset, a changed limit or a clock that was set back."""
        plan = self._plan
        if plan is None or not plan.told_at <= now < plan.resets_at:
            return None
        return plan if (plan.limit, plan.counted) == (allowance.limit, allowance.counted) else None

    def _expected(self, plan: CreditPlan, allowance: Allowance, spent: Spent, now: datetime) -> float:
        """What must be left if nobody but us spends of the key since the last check. At a reset, of the whole limit."""
        sure = plan.sure if now < plan.resets_at else allowance.limit or allowance.left
        return sure - (spent.credits - plan.spent)

    def _shares(
        self, before: CreditPlan | None, allowance: Allowance, spent: Spent, now: datetime
    ) -> tuple[float, ...]:
        """The shares of the last checks, with that of the time since the check before."""
        known = self._plan.shares if self._plan else ()
        if before is None or now - before.told_at < FIRST_CHECK_AFTER or (ours := spent.credits - before.spent) <= 0:
            return known
        others = max(0.0, self._expected(before, allowance, spent, now) - allowance.left)
        return (*known, 1 + others / ours)[-SHARES:]

    def _per_slot(self, before: CreditPlan | None, allowance: Allowance, spent: Spent, now: datetime) -> float:
        """What a tick of all series costs: by the answers, or more where more was spent. 0 while it is unknown."""
        reported = sum(each.cost for each in spent.lists(now, self.interval))
        slots = (slot(now, self.interval) - slot(before.since, self.interval)) / self.interval if before else 0.0
        if before is None or slots < MEASURED_SLOTS:
            return reported
        if not reported:
            return max(0.0, before.since_left - allowance.left) / slots
        return max(reported, (spent.credits - before.since_spent - reported) / slots)

    def _sure(self, allowance: Allowance, spent: Spent, per_slot: float, now: datetime) -> float:
        """What is left, less what we spent and the vendor does not report yet: at most what we spend in a day."""
        plan = self._plan
        if plan is None or plan.counted or plan.limit != allowance.limit or plan.told_at > now:
            return allowance.left
        expected = self._expected(plan, allowance, spent, now)
        unreported = allowance.left - expected
        return expected if 0 < unreported <= per_slot * (DAY / self.interval) else allowance.left

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
        ours = self._plan.told_at if self._plan and self._plan.told_at <= now else None
        plans = read_plans(self._folder.parent) if self._folder and self._is_planned else []
        # A plan whose reset is just over still says how fast to tick until the vendor answers.
        plans = [p for p in plans if p.key == self._source.allowance_name and p.told_at <= now < p.resets_at + DAY]
        newest = max(plans, key=lambda plan: plan.told_at, default=None)
        if newest is None or (ours and newest.told_at <= ours):
            return False
        self._adopt(newest)
        return True

    def _adopt(self, plan: CreditPlan) -> None:
        """Use a plan, and write it for the other series, /v1/status and doctor."""
        is_first = self._plan is None and plan.since == plan.told_at
        self._plan = plan
        self._interval = at_least(self._asked, plan.interval)
        self._next = plan.told_at + (FIRST_CHECK_AFTER if is_first else CHECK_EVERY)
        file = self._folder / FILE if self._folder else None
        save_state(file, plan, CANNOT_WRITE, survives_power_cut=False)
