"""The credit planner, over simulated months of the simulator's own plan."""

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import ingest_price
from lib.clock import slot
from lib.errors import SourceExhausted
from lib.ingest.credits import FILE, LONGEST, RESERVE, CreditPlanner, empty_at, needed, stretched
from lib.simulator import Fault, Market, Plan, create_app
from lib.source import Allowance, Source, read_source
from tests.fakes import NOON, FakeClock

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CMC = read_source(Path(ingest_price.__file__).parent / "coinmarketcap.toml")
SKEW = MINUTE


class Month:
    """Planners of series on one key of the simulator, which counts the credits."""

    def __init__(
        self, folder: Path, *, credits: int, assets: int = 1, series: int = 2, asked: timedelta = MINUTE, faults=()
    ) -> None:
        self.clock = FakeClock(NOON.replace(day=1, hour=0))
        plan = Plan(requests_per_minute=10**6, credits_per_month=credits)
        app = create_app(Market(1, assets), self.clock, plan=plan, faults=faults)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
        self.folder = folder
        self.assets = assets
        self.asked = asked
        self.sources = [self.source() for _ in range(series)]
        self.planners = [self.planner(number) for number in range(series)]
        self.due = [self.clock.now for _ in self.planners]
        self.ticks: list[list[datetime]] = [[] for _ in self.planners]
        self.spent = self.refused = 0

    def source(self) -> Source:
        return Source(CMC, client=self.client, clock=self.clock, key=SecretStr("key"), url="http://localhost")

    def planner(self, number: int) -> CreditPlanner:
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        return CreditPlanner(self.sources[number], asked=self.asked, clock=self.clock, folder=folder)

    def restart(self, number: int) -> None:
        self.sources[number] = self.source()
        self.planners[number] = self.planner(number)
        self.due[number] = self.clock.now

    async def pass_days(self, days: float) -> None:
        """Ticks at the planners' intervals; what they cost is charged to the key as the vendor would."""
        end = self.clock.now + days * DAY
        while (at := min(self.due)) < end:
            number = self.due.index(at)
            self.clock.now = at + number * SECOND
            await self.tick(number)
            interval = self.planners[number].interval
            self.due[number] = slot(at, interval) + interval
        self.clock.now = end

    async def tick(self, number: int) -> None:
        try:
            reading = await self.sources[number].read(self.assets, timedelta(seconds=30))
        except SourceExhausted:
            self.refused += 1
            return
        self.spent += int(reading.credits)
        self.ticks[number].append(slot(self.clock.now, MINUTE))
        await self.planners[number].spent(reading.credits)

    async def burn(self, credits: int) -> None:
        """Another user of the key spends credits."""
        for _ in range(credits):
            await self.source().read(1, timedelta(seconds=30))

    @property
    def together(self) -> float:
        """The part of the first series' ticks that have one of each other series beside them."""
        others = [set(ticks) for ticks in self.ticks[1:]]
        met = [tick for tick in self.ticks[0] if all(tick in ticks for ticks in others)]
        return len(met) / len(self.ticks[0])


@pytest.mark.parametrize(
    ("credits", "series"),
    [(2_000, 2), (500, 1), (400, 2), (900, 3)],  # the first is a free key's 10,000 for 1,000 assets at 5 a tick
)
async def test_a_month_of_credits_lasts_the_month_is_used_and_the_series_tick_together(tmp_path, credits, series):
    month = Month(tmp_path, credits=credits, series=series)
    await month.pass_days(31)
    assert month.refused == 0
    assert credits * 0.85 < month.spent <= credits
    assert month.together > 0.97


async def test_enough_credits_leave_the_interval_as_it_is(tmp_path):
    month = Month(tmp_path, credits=10**6)
    await month.pass_days(0.2)
    assert [planner.interval for planner in month.planners] == [MINUTE, MINUTE]


@pytest.mark.parametrize("asked", [timedelta(seconds=30), 7 * MINUTE, 5 * MINUTE])
async def test_an_interval_is_stretched_to_whole_minutes_that_divide_a_day(tmp_path, asked):
    month = Month(tmp_path, credits=600, asked=asked)
    await month.pass_days(1)
    (interval,) = {planner.interval for planner in month.planners}
    assert interval > asked
    assert not DAY % interval
    assert not interval % MINUTE


async def test_the_plan_includes_what_other_users_of_the_key_spend(tmp_path):
    month = Month(tmp_path, credits=1_000)
    others = 0
    for _ in range(4 * 31):
        await month.burn(3)
        others += 3
        await month.pass_days(0.25)
    assert month.refused == 0
    assert 1_000 * 0.85 < month.spent + others <= 1_000
    assert month.together > 0.9


async def test_a_key_that_others_have_used_up_is_used_again_after_its_reset(tmp_path):
    month = Month(tmp_path, credits=600)
    await month.pass_days(3)
    await month.burn(600 - month.spent)
    refused_at = month.clock.now
    await month.pass_days(27.9)
    assert month.refused > 0
    assert not [tick for ticks in month.ticks for tick in ticks if tick > refused_at]
    await month.pass_days(2)
    assert month.ticks[0][-1] > refused_at.replace(month=9, day=1)


async def test_after_a_restart_the_old_plan_counts_until_the_first_check(tmp_path):
    month = Month(tmp_path, credits=600)
    await month.pass_days(15)
    before = month.planners[0].interval
    assert before > MINUTE
    assert month.planner(0).interval == before


async def test_a_month_of_credits_lasts_through_any_number_of_restarts(tmp_path):
    month = Month(tmp_path, credits=600)
    for _ in range(62):
        await month.pass_days(0.5)
        month.restart(0)
    assert month.refused == 0
    assert month.spent <= 600


async def test_a_plan_is_dropped_after_its_reset(tmp_path):
    month = Month(tmp_path, credits=600)
    await month.pass_days(1)
    month.clock.move(days=31)
    assert month.planner(0).interval == MINUTE


async def test_the_plan_is_read_from_its_file_though_a_file_beside_it_is_broken(tmp_path):
    month = Month(tmp_path, credits=10_000)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE).write_text("{")
    await month.pass_days(0.2)
    plan = orjson.loads((tmp_path / "0" / FILE).read_bytes())
    assert plan["limit"] == 10_000
    assert plan["left"] <= 10_000
    assert plan["interval_s"] == month.planners[0].interval.total_seconds()
    assert plan["resets_at"] > plan["told_at"]
    assert "key" not in str(plan["key"]).replace("api_key", "")


async def test_the_interval_stays_when_the_upstream_does_not_report_the_credits_left_and_it_is_asked_again(tmp_path):
    fault = Fault(path="/v1/key/info", kind="error", preset="cmc-500", count=3)
    month = Month(tmp_path, credits=10_000, series=1, faults=[fault])
    await month.pass_days(0.01)
    assert month.planners[0].interval == MINUTE
    await month.pass_days(0.1)
    assert month.planners[0].interval > MINUTE


@given(left=st.floats(0, 1e6), per_day=st.floats(0, 1e6), days=st.floats(0.01, 40))
def test_a_planned_interval_lasts_or_is_the_longest(left, per_day, days):
    interval = stretched(MINUTE, needed(left, per_day, days))
    resets_at = NOON + days * DAY
    assert interval >= LONGEST or empty_at(left, per_day * (MINUTE / interval), NOON, resets_at) is None
    assert not interval % MINUTE


@given(asked=st.integers(1, 1440).map(lambda minutes: minutes * MINUTE), stretch=st.floats(0, 2000) | st.just(math.inf))
def test_a_stretched_interval_is_long_enough_and_divides_a_day(asked, stretch):
    interval = stretched(asked, stretch)
    assert interval >= asked
    assert interval == asked or not DAY % interval
    assert interval >= min(asked * min(stretch, 1e4), LONGEST) * (1 - 1e-6)


# The margins, each by what it guards. A tick costs 5 credits; a second series on the key is assumed to cost as much.


class Quota:
    """A source with a key that has these credits left until the reset."""

    name = "quota"
    key_setting = "quota_api_key"

    def __init__(self, left: float, resets_at: datetime) -> None:
        self.left = left
        self.resets_at = resets_at

    async def allowance(self) -> Allowance:
        return Allowance(self.left, 1000, self.resets_at, None)


COST = 5.0


async def planned(left: float) -> tuple[CreditPlanner, Quota, FakeClock]:
    """A planner that has seen so many credits for the next day, once."""
    clock = FakeClock()
    quota = Quota(left, NOON + DAY)
    planner = CreditPlanner(cast("Source", quota), asked=MINUTE, clock=clock)
    await planner.spent(COST)
    return planner, quota, clock


async def test_a_plan_leaves_four_ticks_of_credits_for_retries():
    planner, quota, _ = await planned(100)
    spent_until_the_reset = 2 * COST * (DAY / planner.interval)
    assert spent_until_the_reset <= quota.left * (1 - RESERVE) - 4 * COST
    assert planner.interval == 240 * MINUTE  # 160 minutes would last too, without anything to spare


async def test_a_few_credits_more_do_not_shorten_the_interval_and_many_do():
    planner, quota, clock = await planned(100)
    for left, interval in ((108, 240 * MINUTE), (200, 96 * MINUTE)):  # 108 would allow 180 minutes, by a hair
        clock.move(minutes=31)
        quota.left, quota.resets_at = left, clock.now + DAY
        await planner.spent(COST)
        assert planner.interval == interval


async def test_one_tick_more_in_a_short_time_is_no_faster_rate():
    planner, quota, clock = await planned(100)
    clock.move(minutes=240)
    quota.left -= 3 * COST  # one tick of this series, two of the other
    await planner.spent(COST)
    assert planner.interval == 240 * MINUTE  # 15 credits in 240 minutes, taken as a rate, would ask for 288


async def test_a_rate_is_measured_once_there_are_enough_ticks():
    planner, quota, clock = await planned(1000)
    assert planner.interval == 16 * MINUTE
    clock.move(minutes=8 * 16)
    quota.left -= 8 * 2 * COST * 2  # twice as fast as assumed
    await planner.spent(COST)
    assert planner.interval > 24 * MINUTE
