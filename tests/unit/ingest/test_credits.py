"""The credit planner, over months of a key that counts as the vendors do, with a clock of its own."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.clock import DAY, HOUR, MINUTE, next_month, slot
from lib.errors import SourceMalformed
from lib.ingest.credit_plan import FILE, LONGEST, CreditPlan, choose_interval, read_plans
from lib.ingest.credits import CAUTIOUS, CreditPlanner
from lib.ingest.spending import SpendingFile
from lib.source import Allowance, Source
from tests.fakes import NOON, FakeClock

FREE = 15_000
A_THOUSAND, TWO_HUNDRED_FIFTY = 4, 1
"""What a list of so many assets costs at 1 credit per 250."""

Change = Callable[[Allowance], Allowance | None]


class Key:
    """A vendor's count of a key's credits, by calendar month. It may report late, and less than it should."""

    def __init__(self, clock: FakeClock, *, limit: float = FREE, lag: timedelta = timedelta()) -> None:
        self.clock = clock
        self.limit = limit
        self.lag = lag
        self.reports: Change = lambda allowance: allowance
        self.refused = 0
        self.asked = 0
        self._times: list[datetime] = []
        self._sums: list[float] = [0.0]  # of the credits charged before each time, and of all

    def used(self, at: datetime) -> float:
        begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return self._sums[bisect_right(self._times, at)] - self._sums[bisect_left(self._times, begin)]

    def charge(self, credits: float) -> bool:
        now = self.clock()
        if self.used(now) + credits > self.limit:
            self.refused += 1
            return False
        place = bisect_right(self._times, now)  # a clock may be set back
        self._times.insert(place, now)
        self._sums[place + 1 :] = [total + credits for total in self._sums[place:]]
        return True

    def allowance(self) -> Allowance:
        self.asked += 1
        seen = self.clock() - self.lag
        reported = self.reports(Allowance(self.limit - self.used(seen), self.limit, next_month(seen)))
        if reported is None:
            raise SourceMalformed("no credits")
        return reported


class Lists:
    """A source on a key, as the planner sees it."""

    name = "coinmarketcap"
    allowance_name = "cmc_api_key"

    def __init__(self, key: Key, asked: str = "/listings", *, has_quota: bool = True, budget: float | None = FREE):
        self.key = key
        self.list_address = asked
        self.has_quota = has_quota
        self.budget = budget

    def requests(self, assets: int) -> int:
        return 1

    async def allowance(self) -> Allowance:
        return self.key.allowance()


class Stack:
    """Planners of series on one key, each a tick at its interval; series with one address share the list."""

    def __init__(self, key: Key, folder: Path | None = None, *, lists: list[Lists] | None = None, cost: float = 4):
        self.key = key
        self.clock = key.clock
        self.folder = folder
        self.lists = lists or [Lists(key)]
        self.cost = cost
        self.reported_cost: float | None = None
        self.shares = True
        self.last_first = False
        self.asked = MINUTE
        self.planners = [self.planner(number) for number in range(len(self.lists))]
        self.due = [self.clock.now for _ in self.planners]
        self.intervals: list[tuple[datetime, timedelta]] = []
        self._fetched: set[tuple[str, datetime]] = set()

    def planner(self, number: int) -> CreditPlanner:
        folder = self.folder / str(number) if self.folder else None
        if folder:
            folder.mkdir(exist_ok=True, parents=True)
        return CreditPlanner(
            cast("Source", self.lists[number]), 1000, asked=self.asked, clock=self.clock, folder=folder
        )

    def restart(self) -> None:
        self.planners = [self.planner(number) for number in range(len(self.lists))]
        self.due = [self.clock.now for _ in self.planners]

    async def run(self, until: datetime) -> None:
        await run([self], until)

    async def tick(self, number: int) -> None:
        at, asked = self.due[number], self.lists[number].list_address
        shared = self.shares and (asked, slot(at, MINUTE)) in self._fetched
        if shared or self.key.charge(self.cost):
            self._fetched.add((asked, slot(at, MINUTE)))
            paid = 0.0 if shared else self.cost
            await self.planners[number].spent(paid if self.reported_cost is None else self.reported_cost)
        else:
            await self.planners[number].check()
        interval = self.planners[number].interval
        self.intervals.append((at, interval))
        self.due[number] = slot(at, interval) + interval

    def slowest(self, after: datetime) -> timedelta:
        return max(interval for at, interval in self.intervals if at >= after)

    @property
    def together(self) -> float:
        """The part of the first series' ticks at which every series ticked."""
        addresses = {source.list_address for source in self.lists}
        slots = {at for _, at in self._fetched}
        return sum(all((asked, at) in self._fetched for asked in addresses) for at in slots) / len(slots)


async def run(stacks: list[Stack], until: datetime) -> None:
    while (at := min(min(stack.due) for stack in stacks)) < until:
        stack = next(stack for stack in stacks if min(stack.due) == at)
        number = [place for place, due in enumerate(stack.due) if due == at][-1 if stack.last_first else 0]
        stack.clock.now = at + number * timedelta(seconds=1)
        await stack.tick(number)
    stacks[0].clock.now = until


def month(year: int, number: int, **of_key) -> tuple[Key, datetime, datetime]:
    """A fresh key at the begin of a month; the month's begin and end."""
    begin = datetime(year, number, 1, tzinfo=UTC)
    key = Key(FakeClock(begin), **of_key)
    return key, begin, next_month(begin)


MONTHS = [(2027, 2), (2028, 2), (2027, 4), (2027, 1)]  # 28, 29, 30 and 31 days


@pytest.mark.parametrize(("year", "number", "cost"), [*((*each, 20) for each in MONTHS), (2027, 2, 75)])
async def test_a_free_keys_month_of_large_lists_is_used_and_lasts_whatever_its_length(year, number, cost):
    key, begin, end = month(year, number)
    stack = Stack(key, cost=cost)
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.95 * FREE
    assert stack.slowest(begin + HOUR) <= cost * 3.6 * MINUTE


async def test_a_free_key_gives_a_thousand_assets_every_15_minutes_or_faster():
    key, begin, end = month(2027, 2)
    stack = Stack(key, cost=A_THOUSAND)
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.95 * FREE
    assert stack.slowest(begin + HOUR) <= 12 * MINUTE


async def test_a_free_key_gives_250_assets_every_4_minutes_or_faster():
    key, begin, _ = month(2027, 1)
    stack = Stack(key, cost=TWO_HUNDRED_FIFTY)
    await stack.run(begin + 2 * DAY)
    assert stack.slowest(begin + HOUR) <= 4 * MINUTE


@pytest.mark.parametrize("lag", [20 * MINUTE, 5 * HOUR])
async def test_credits_that_are_reported_late_last_through_a_reset_and_the_pace_stays(lag):
    key, begin, end = month(2027, 2, lag=lag)
    stack = Stack(key, cost=20)
    await stack.run(end - MINUTE)
    assert key.used(end - MINUTE) >= 0.95 * FREE
    stack.intervals.clear()
    await stack.run(end + 3 * DAY)
    assert key.refused == 0
    assert stack.slowest(begin) <= 72 * MINUTE


MISSING: list[Change] = [
    lambda reported: Allowance(reported.left, None, reported.resets_at),
    lambda reported: Allowance(reported.left, reported.limit, None),
    lambda reported: Allowance(reported.left, reported.limit, NOON - 400 * DAY),
    lambda reported: Allowance(reported.left, reported.limit, NOON + 4000 * DAY),
]


@pytest.mark.parametrize("reports", MISSING)
async def test_a_month_is_used_and_lasts_though_the_answers_lack_a_limit_or_a_reset(reports):
    key, _, end = month(2027, 2)
    key.reports = reports
    stack = Stack(key, cost=20)
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.9 * FREE


async def test_restarts_cost_ticks_and_the_month_still_lasts_and_is_used(tmp_path):
    key, begin, end = month(2027, 2)
    stack = Stack(key, tmp_path, cost=75)
    for day in range(28):
        await stack.run(begin + day * DAY + 5 * HOUR)
        stack.restart()
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.95 * FREE


@pytest.mark.parametrize(("per_minute", "interval"), [(None, 1), (60.0, 1), (50.0, 60), (0.5, 120)])
async def test_the_requests_a_minute_that_the_key_info_reports_set_the_pace(per_minute, interval):
    key, *_ = month(2027, 1, limit=10**9)
    key.reports = lambda allowance: replace(allowance, per_minute=per_minute)
    stack = Stack(key)
    stack.asked = timedelta(seconds=1)
    stack.planners = [stack.planner(0)]
    await stack.planners[0].spent(1)
    assert stack.planners[0].interval == timedelta(seconds=interval)


async def test_a_list_that_two_series_share_counts_once_whoever_fetches_it(tmp_path):
    key, begin, _ = month(2027, 1)
    stack = Stack(key, tmp_path, lists=[Lists(key), Lists(key)], cost=A_THOUSAND)
    await stack.run(begin + 4 * HOUR)
    stack.last_first = True
    await stack.run(begin + 8 * HOUR)
    assert {interval for at, interval in stack.intervals if at > begin + HOUR} == {12 * MINUTE}


async def test_lists_of_two_addresses_count_both_and_tick_together(tmp_path):
    key, begin, _ = month(2027, 1)
    stack = Stack(key, tmp_path, lists=[Lists(key, "/prices"), Lists(key, "/ranks")], cost=A_THOUSAND)
    await stack.run(begin + DAY)
    assert {interval for at, interval in stack.intervals if at > begin + HOUR} == {24 * MINUTE}
    assert stack.together > 0.95


async def test_a_list_that_both_series_pay_for_though_it_is_shared_is_noticed(tmp_path):
    key, _, end = month(2027, 1)
    stack = Stack(key, tmp_path, lists=[Lists(key), Lists(key)], cost=75)
    stack.shares = False
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.9 * FREE


async def test_two_stacks_that_share_a_key_share_its_month():
    key, _, end = month(2027, 2)
    stacks = [Stack(key, cost=75), Stack(key, cost=75)]
    await run(stacks, end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.9 * FREE
    ticks = [len(stack.intervals) for stack in stacks]
    assert max(ticks) < 1.5 * min(ticks)


async def test_another_user_of_the_key_is_planned_for():
    key, begin, end = month(2027, 2)
    stack = Stack(key, cost=20)
    for number in range(28 * 24):
        key.charge(9)
        await stack.run(begin + number * HOUR)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.9 * FREE


async def test_a_burst_of_another_user_is_no_rate():
    key, begin, _ = month(2027, 1)
    stack = Stack(key, cost=A_THOUSAND)
    await stack.run(begin + 2 * DAY)
    key.charge(2000)
    stack.intervals.clear()
    await stack.run(begin + 4 * DAY)
    assert stack.slowest(begin) == 15 * MINUTE  # 2,000 of 14,000 fewer for the rest of the month


async def test_a_limit_that_shrinks_and_grows_within_the_month_is_followed():
    key, begin, end = month(2027, 2)
    stack = Stack(key, cost=20)
    await stack.run(begin + 5 * DAY)
    key.limit = 10_000
    await stack.run(begin + 10 * DAY)
    assert stack.planners[0].interval == 90 * MINUTE
    key.limit = 20_000
    await stack.run(end)
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.95 * 20_000


async def test_costs_that_no_answer_reports_are_measured_from_what_is_left():
    key, begin, _ = month(2027, 1)
    stack = Stack(key, cost=A_THOUSAND)
    stack.reported_cost = 0.0
    await stack.run(begin + HOUR)
    assert stack.slowest(begin) == CAUTIOUS
    await stack.run(begin + DAY)
    assert stack.planners[0].interval == 12 * MINUTE


async def test_the_cost_of_a_tick_is_measured_over_four_ticks_so_a_burst_of_another_user_is_none():
    key, begin, _ = month(2027, 1)
    stack = Stack(key, cost=A_THOUSAND)
    stack.reported_cost = 0.0
    await stack.run(begin + 20 * MINUTE)
    key.charge(500)
    asked = key.asked
    await stack.run(begin + 50 * MINUTE)  # three ticks are over
    assert key.asked > asked
    assert stack.slowest(begin) == CAUTIOUS


async def test_a_key_that_others_used_up_does_not_last_and_is_planned_again_after_its_reset(tmp_path):
    key, begin, end = month(2027, 2)
    stack = Stack(key, tmp_path, cost=20)
    await stack.run(begin + 25 * DAY)
    used_up_at = key.clock.now
    key.charge(key.limit - key.used(used_up_at) - 5)
    await stack.run(begin + 26 * DAY)
    (plan,) = read_plans(tmp_path)
    assert plan.lasts_until
    assert used_up_at <= plan.lasts_until <= begin + 26 * DAY
    await stack.run(end + DAY)
    (plan,) = read_plans(tmp_path)
    assert (plan.lasts_until, plan.interval) == (None, HOUR)


async def test_a_long_interval_ends_with_the_reset(tmp_path):
    key, _, end = month(2027, 2)
    key.charge(FREE - 50)
    stack = Stack(key, tmp_path, cost=20)
    await stack.run(end - MINUTE)
    assert stack.planners[0].interval == LONGEST
    key.clock.now = end + MINUTE
    assert stack.planners[0].interval == CAUTIOUS


async def test_before_its_first_answer_a_key_is_planned_as_its_smallest_plan_and_then_as_it_is():
    key, begin, _ = month(2027, 1, limit=300_000)
    key.reports = lambda reported: None
    stack = Stack(key, cost=A_THOUSAND)
    await stack.run(begin + 2 * HOUR)
    assert stack.slowest(begin) == 12 * MINUTE
    key.reports = lambda reported: reported
    await stack.run(begin + 4 * HOUR)
    assert stack.planners[0].interval == MINUTE


async def test_a_key_without_an_answer_and_without_a_budget_is_asked_cautiously():
    key, begin, _ = month(2027, 1)
    key.reports = lambda reported: None
    stack = Stack(key, lists=[Lists(key, budget=None)])
    await stack.run(begin + HOUR)
    assert {interval for _, interval in stack.intervals} == {CAUTIOUS}


async def test_an_answer_that_fails_later_leaves_the_plan_as_it_is():
    key, begin, _ = month(2027, 1, limit=60_000)
    stack = Stack(key, cost=A_THOUSAND)
    await stack.run(begin + 2 * HOUR)
    key.reports = lambda reported: None
    stack.intervals.clear()
    await stack.run(begin + DAY)
    assert {interval for _, interval in stack.intervals} == {3 * MINUTE}


async def test_a_budget_that_no_answer_reports_is_counted_over_restarts_and_begins_anew_each_month(tmp_path):
    key, begin, end = month(2027, 2, limit=300)
    lists = Lists(key, has_quota=False, budget=300)
    stack = Stack(key, tmp_path, lists=[lists], cost=2)
    for day in range(28):
        await stack.run(begin + day * DAY)
        stack.restart()
    await stack.run(end)
    assert key.asked == 0
    assert key.refused == 0
    assert key.used(end - MINUTE) >= 0.9 * 300
    await stack.run(end + 3 * DAY)
    (plan,) = read_plans(tmp_path)
    assert plan.counted
    assert plan.left == 300 - key.used(plan.told_at)


def test_credits_of_the_month_before_do_not_count_when_another_list_is_asked_for(tmp_path):
    _, october, november = month(2026, 10)
    SpendingFile(tmp_path / "price", "acme", "250 assets").add(300.0, october)
    again = SpendingFile(tmp_path / "price", "acme", "1,000 assets")
    again.add(4.0, november)
    assert (again.all().in_month(november), again.all().credits) == (4.0, 304.0)


async def test_without_a_call_and_without_a_budget_the_interval_is_as_asked(tmp_path):
    key, begin, _ = month(2027, 1)
    stack = Stack(key, tmp_path, lists=[Lists(key, has_quota=False, budget=None)])
    await stack.run(begin + HOUR)
    assert {interval for _, interval in stack.intervals} == {MINUTE}
    assert not read_plans(tmp_path)


async def test_enough_credits_leave_the_interval_as_it_is():
    key, begin, _ = month(2027, 1, limit=10**6)
    stack = Stack(key, cost=A_THOUSAND)
    await stack.run(begin + 3 * HOUR)
    assert {interval for _, interval in stack.intervals} == {MINUTE}


async def test_after_a_restart_the_plan_counts_until_the_next_check(tmp_path):
    key, begin, _ = month(2027, 1)
    stack = Stack(key, tmp_path)
    await stack.run(begin + HOUR)
    asked = key.asked
    stack.restart()
    assert stack.planners[0].interval == 12 * MINUTE
    await stack.run(begin + HOUR + MINUTE)
    assert key.asked == asked


async def test_a_clock_that_is_set_back_or_past_the_reset_does_not_stop_the_checks():
    key, begin, _ = month(2027, 1)
    stack = Stack(key)
    await stack.run(begin + 5 * DAY)
    for now in (begin + 2 * DAY, begin + 20 * DAY, begin + 6 * DAY):
        asked, key.clock.now = key.asked, now
        stack.due = [now]
        await stack.run(now + 2 * HOUR)
        assert key.asked > asked
        assert stack.planners[0].interval <= 15 * MINUTE


async def test_a_broken_file_beside_the_plans_is_ignored(tmp_path):
    key, begin, _ = month(2027, 1)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE).write_text("{")
    stack = Stack(key, tmp_path)
    await stack.run(begin + HOUR)
    (plan,) = read_plans(tmp_path)
    assert (plan.limit, plan.interval) == (FREE, 12 * MINUTE)


@pytest.mark.parametrize(("left", "interval"), [(620, MINUTE), (619, 2 * MINUTE)])
def test_a_plan_leaves_the_credits_of_two_ticks(left, interval):
    """An hour of a tick a minute costs 600."""
    assert choose_interval(MINUTE, MINUTE, left=left, per_slot=10, share=1, remaining=HOUR) == interval


@given(
    left=st.floats(0, 1e6), per_slot=st.floats(0.1, 1e3), share=st.floats(1, 10), days=st.floats(0.1, 31),
    before=st.sampled_from([MINUTE, 12 * MINUTE, LONGEST]),
)  # fmt: skip
def test_a_chosen_interval_lasts_or_is_the_longest(left, per_slot, share, days, before):
    chosen = choose_interval(MINUTE, before, left=left, per_slot=per_slot, share=share, remaining=timedelta(days=days))
    assert chosen == LONGEST or per_slot * share * (timedelta(days=days) / chosen) <= left
    assert not DAY % chosen


def test_a_plan_of_an_older_version_is_read():
    old = CreditPlan.model_validate_json(
        '{"source":"coinmarketcap","key":"cmc_api_key","left":9000,"limit":10000,"resets_at":"2026-09-01T00:00:00Z",'
        '"told_at":"2026-08-01T11:00:00Z","per_day":300,"lasts_until":null,"interval_s":600,"stretch":10,'
        '"since":"2026-08-01T11:00:00Z","since_left":9000}'
    )
    assert old.interval == 10 * MINUTE
