"""Checks of keys and lists: the credits left and how long they last; how often a list comes, how old "now" gets, what
it costs, and what twice the assets would.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lib.cli.doctor.advice import advise_on_source
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.sources import ConfiguredSource
from lib.clock import DAY, Clock, isoformat, next_month
from lib.errors import TopcoinsError
from lib.ingest.credit_plan import CreditPlan, choose_interval, read_plans
from lib.settings import PREFIX
from lib.source import Allowance
from lib.source.expression import get
from lib.source.values import read_number
from lib.store import Store
from lib.units import format_duration

YEARS = 3650
PLANNED_TO_THE_END = 0.95
"""The planner uses nearly all credits, so that one day's rate may be a little above what lasts."""
LESS = "wait for the reset, raise TOPCOINS_INTERVAL, or lower TOPCOINS_ASSETS"


async def check_credits(sources: list[ConfiguredSource], store: Store, clock: Clock) -> list[Finding]:
    """For each key the credits left, and how long they last; then how often a list comes, and what it costs."""
    findings: list[Finding] = []
    allowances: dict[str, Allowance] = {}
    for name, each in {each.source.key_setting: each for each in reversed(sources) if each.is_keyed}.items():
        what = each.source.key_variable
        try:
            allowance = await each.source.allowance()
        except TopcoinsError as exc:
            advice = advise_on_source(exc, each.source)
            findings.append(Finding(what, False, f"{exc}; {advice}"))
            continue
        if allowance is None:
            findings.append(Finding(what, True, f"{each.file.name} does not report what is left of it"))
            continue
        allowances[name] = allowance
        findings.append(await _lasts(what, each.file.name, allowance, store, clock()))
    return [*findings, *_check_cadence(sources, allowances, clock())]


async def _lasts(what: str, source: str, allowance: Allowance, store: Store, now: datetime) -> Finding:
    """Whether what is left lasts until the reset, at the rate the last day's answers were charged."""
    left, limit, resets_at = allowance.left, allowance.limit, allowance.resets_at
    seen = f"{left:,.0f}{f' of {limit:,.0f}' if limit is not None else ''} credits left"
    try:
        markers = [m for m in await store.markers(now - DAY, now) if m.source == source]
    except TopcoinsError:
        markers = []
    used = sum(marker.credits for marker in markers)
    if not markers or not used:
        advice = "" if left > 0 else f"; {LESS}"
        return Finding(what, left > 0, f"{seen}; nothing was charged in the last day, so no forecast{advice}")
    since = max(now - markers[0].tick, timedelta(minutes=1))
    days = since / DAY * (left / used)
    until = "for years" if days > YEARS else f"until {isoformat((now + days * DAY).replace(microsecond=0))}"
    well = resets_at is None or days >= PLANNED_TO_THE_END * ((resets_at - now) / DAY)
    advice = "" if well else f"; {LESS}"
    return Finding(what, well, f"{seen}; at the last day's {used:,.0f} they last {until}{advice}")


@dataclass(frozen=True, slots=True)
class Cadence:
    """The lists that are asked for with one key, or at one address without one. `left` is None where all is free."""

    sources: Sequence[ConfiguredSource]
    left: float | None
    resets_at: datetime
    plan: CreditPlan | None
    now: datetime

    @property
    def cost(self) -> float:
        """What a tick costs. A list that two series share counts once."""
        lists = {each.source.list_address: each for each in self.sources}
        return sum(map(_list_cost, lists.values()))

    def interval(self, times: int = 1) -> timedelta:
        """The distance between lists of so many times the assets: by the plan, or as it would be planned now."""
        asked = max(each.interval for each in self.sources)
        if self.plan and times == 1:
            return max(asked, self.plan.interval)
        if self.left is None or not self.cost:
            return asked
        remaining = max(self.resets_at - self.now, DAY)
        return choose_interval(asked, asked, left=self.left, per_slot=self.cost * times, share=1.0, remaining=remaining)


def _list_cost(each: ConfiguredSource) -> float:
    """The credits of a list, by the source file; 0 where it names none."""
    assets = each.settings.assets
    if each.file.assets_per_credit:
        return math.ceil(assets / each.file.assets_per_credit)
    for_each_page = read_number(get(each.file.cost, {})) or 0.0  # a cost that no answer is needed for
    return for_each_page * each.source.requests(assets)


def _check_cadence(
    sources: Sequence[ConfiguredSource], allowances: dict[str, Allowance], now: datetime
) -> list[Finding]:
    """A finding for each key, and for what is asked without one, of the sources that are used first."""
    used: dict[str, ConfiguredSource] = {}
    for each in sources:
        if each.may_fill:
            used.setdefault(each.file.series, each)
    groups: dict[str, list[ConfiguredSource]] = {}
    for each in used.values():
        groups.setdefault(each.source.allowance_name, []).append(each)
    return [_finding(_cadence(group, allowances.get(name), now)) for name, group in groups.items()]


def _cadence(group: list[ConfiguredSource], allowance: Allowance | None, now: datetime) -> Cadence:
    first = group[0]
    plans = [
        plan for plan in read_plans(first.settings.spool_dir)
        if plan.key == first.source.allowance_name and plan.told_at <= now < plan.resets_at
    ]  # fmt: skip
    plan = max(plans, key=lambda plan: plan.told_at, default=None)
    left, resets_at = first.source.budget, next_month(now)
    if allowance:
        left, resets_at = allowance.left, allowance.resets_at or resets_at
    elif plan:
        left, resets_at = plan.left, plan.resets_at
    return Cadence(group, left, resets_at, plan, now)


def _finding(cadence: Cadence) -> Finding:
    first = cadence.sources[0]
    what = f"{first.source.key_variable if first.is_keyed else first.file.name}: cadence"
    interval, assets, max_age = cadence.interval(), first.settings.assets, first.settings.max_age
    names = " and ".join(each.file.series for each in cadence.sources)
    every = (
        f'{names}: {assets:,} assets every {format_duration(interval)}, so "now" gets {format_duration(interval)} old'
    )
    if max_age and interval > max(max_age, first.settings.interval):
        fewer = int(assets * (max_age / interval))
        remedy = f"unset {PREFIX}MAX_AGE, or set {PREFIX}ASSETS={fewer}" if fewer else f"unset {PREFIX}MAX_AGE"
        why = f'longer than {PREFIX}MAX_AGE={format_duration(max_age)}, so "now" has no answer in between'
        return Finding(what, False, f"{every}; {why}; {remedy}")
    well = cadence.left is None or cadence.plan is None or cadence.plan.lasts_until is None
    return Finding(what, well, f"{every}; {_cost(cadence)}")


def _cost(cadence: Cadence) -> str:
    if cadence.left is None or not cadence.cost:
        return "it costs no credits, and twice the assets would cost none"
    ends = f"last until their reset on {isoformat(cadence.resets_at)}"
    if cadence.plan and cadence.plan.lasts_until:
        ends = f"end on {isoformat(cadence.plan.lasts_until)}, before their reset on {isoformat(cadence.resets_at)}"
    return (
        f"a tick costs {cadence.cost:g} credits, which {ends}; twice the assets would cost {2 * cadence.cost:g},"
        f" a tick every {format_duration(cadence.interval(times=2))}"
    )
