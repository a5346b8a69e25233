"""Checks of keys: what is left of their credits, and how long that lasts."""

from datetime import datetime, timedelta

from lib.cli.doctor.advice import advise_on_source
from lib.cli.doctor.cadence import check_cadence
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.sources import ConfiguredSource
from lib.clock import DAY, Clock, isoformat
from lib.errors import TopcoinsError
from lib.source import Allowance
from lib.store import Store

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
    return [*findings, *check_cadence(sources, allowances, clock())]


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
