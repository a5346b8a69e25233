"""The credit planner, over simulated months of the simulator's own plan."""

from datetime import timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import ingest_price
from lib.clock import slot
from lib.credits import FILE, LONGEST, Budget, CreditPlanner, planned
from lib.simulator import Fault, Market, Plan, create_app
from lib.source import Source, read_source
from tests.fakes import NOON, FakeClock

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
CMC = read_source(Path(ingest_price.__file__).parent / "coinmarketcap.toml")


class Month:
    """Planners over one key of the simulator, whose credits are counted by the simulator itself."""

    def __init__(self, *, credits: int, assets: int, series: int, folder: Path | None = None, faults=()) -> None:
        self.clock = FakeClock(NOON.replace(day=1, hour=0))
        plan = Plan(requests_per_minute=10**6, credits_per_month=credits)
        app = create_app(Market(1, assets), self.clock, plan=plan, faults=faults)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
        self.cost = -(-assets // 200)
        self.sources = [
            Source(CMC, client=client, clock=self.clock, key=SecretStr("key"), url="http://localhost")
            for _ in range(series)
        ]
        self.planners = [
            CreditPlanner(source, asked=MINUTE, clock=self.clock, folder=folder) for source in self.sources
        ]
        self.spent = 0
        self.ticks = 0

    async def pass_days(self, days: float) -> None:
        """Ticks at the planners' intervals; what they cost is charged to the key as the vendor would."""
        due = [self.clock.now for _ in self.planners]
        end = self.clock.now + days * DAY
        while (at := min(due)) < end:
            number = due.index(at)
            self.clock.now = at
            await self.charge(number)
            await self.planners[number].spent(self.cost)
            interval = self.planners[number].interval
            due[number] = slot(at, interval) + interval

    async def charge(self, number: int) -> None:
        await self.sources[number].read(self.cost * 200, timedelta(seconds=30))
        self.spent += self.cost
        self.ticks += 1


@pytest.mark.parametrize(("credits", "series"), [(1_500, 1), (1_500, 2), (400, 2)])
async def test_a_month_of_credits_lasts_the_month_and_is_not_left_unused(credits, series):
    month = Month(credits=credits, assets=1, series=series)
    await month.pass_days(30.9)
    assert month.spent <= credits
    assert month.spent >= credits * 0.4


async def test_credits_that_last_anyway_stretch_nothing():
    month = Month(credits=10**6, assets=1, series=2)
    await month.pass_days(0.5)
    assert [planner.interval for planner in month.planners] == [MINUTE, MINUTE]


async def test_a_restart_plans_with_what_is_left():
    month = Month(credits=1_500, assets=1, series=1)
    await month.pass_days(15)
    before = month.planners[0].interval
    month.planners[0] = CreditPlanner(month.sources[0], asked=MINUTE, clock=month.clock)
    await month.pass_days(15.9)
    assert before > MINUTE
    assert month.spent <= 1_500


async def test_the_plan_is_told_in_a_file(tmp_path):
    month = Month(credits=10_000, assets=1, series=1, folder=tmp_path)
    await month.pass_days(0.2)
    told = orjson.loads((tmp_path / FILE).read_bytes())
    assert told["limit"] == 10_000
    assert told["left"] <= 10_000
    assert told["interval_s"] == month.planners[0].interval.total_seconds()
    assert told["resets_at"] > told["told_at"]


async def test_an_upstream_that_does_not_tell_what_is_left_stretches_nothing_and_is_asked_again():
    fault = Fault(path="/v1/key/info", kind="error", preset="cmc-500", count=3)
    month = Month(credits=10_000, assets=1, series=1, faults=[fault])
    await month.pass_days(0.01)
    assert month.planners[0].interval == MINUTE
    await month.pass_days(0.1)
    assert month.planners[0].interval > MINUTE


budgets = st.builds(
    Budget,
    left=st.floats(0, 1e6),
    limit=st.just(1e6),
    resets_at=st.floats(0.01, 40).map(lambda days: NOON + days * DAY),
    told_at=st.just(NOON),
    per_day=st.floats(0, 1e6),
)


@given(budget=budgets, per_day=st.floats(0, 1e6))
def test_a_planned_interval_lasts_or_is_the_longest(budget, per_day):
    interval = planned(MINUTE, MINUTE, per_day=per_day, budget=budget)
    days = (budget.resets_at - budget.told_at) / DAY
    assert interval >= LONGEST or per_day * (MINUTE / interval) * days <= budget.left
    assert not interval % MINUTE


@given(budget=budgets, per_day=st.floats(0, 1e6))
def test_the_ticks_of_a_longer_interval_are_among_those_of_a_shorter(budget, per_day):
    longer = planned(MINUTE, MINUTE, per_day=per_day * 2, budget=budget)
    assert not longer % planned(MINUTE, MINUTE, per_day=per_day, budget=budget)
