"""Checks of keys: what is left of their credits, and how long that lasts."""

from datetime import datetime, timedelta

from lib.cli.doctor.advice import advise_on_source
from lib.cli.doctor.finding import Finding
from lib.cli.doctor.sources import ConfiguredSource
from lib.clock import DAY, Clock, isoformat
from lib.errors import TopcoinsError
from lib.ingest.credit_plan import read_plans
from lib.settings import PREFIX
from lib.store import Store
from lib.units import format_duration

YEARS = 3650
LESS = "wait for the reset, raise TOPCOINS_INTERVAL, or lower TOPCOINS_ASSETS"


async def check_credits(sources: list[ConfiguredSource], store: Store, clock: Clock) -> list[Finding]:
    """For each key that its vendor reports on: the credits left, free of charge, and how long they last."""
    findings: list[Finding] = []
    for each in {each.source.key_setting: each for each in reversed(sources) if each.is_keyed}.values():
        findings += await _credits(each, store, clock)
    return findings


async def _credits(each: ConfiguredSource, store: Store, clock: Clock) -> list[Finding]:
    what = each.key_variable
    try:
        allowance = await each.source.allowance()
    except TopcoinsError as exc:
        advice = advise_on_source(exc, host=each.host, url=each.url_variable, key=what)
        return [Finding(what, False, f"{exc}; {advice}")]
    if allowance is None:
        return [Finding(what, True, f"{each.file.name} does not report what is left of it")]
    left = await _lasts(what, each.file.name, allowance.left, allowance.limit, allowance.resets_at, store, clock())
    return [left, *_planned(what, each, clock())]


async def _lasts(
    what: str, source: str, left: float, limit: float | None, resets_at: datetime | None, store: Store, now: datetime
) -> Finding:
    """Whether what is left lasts until the reset, at the rate the last day's answers were charged."""
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
    well = resets_at is None or days >= (resets_at - now) / DAY
    advice = "" if well else f"; {LESS}"
    return Finding(what, well, f"{seen}; at the last day's {used:,.0f} they last {until}{advice}")


def _planned(what: str, each: ConfiguredSource, now: datetime) -> list[Finding]:
    """Whether "now" always has an answer at the planned interval; if not, the settings that would do."""
    chosen = each.settings
    plans = [p for p in read_plans(chosen.spool_dir) if p.key == each.source.key_setting and p.resets_at > now]
    if not plans:
        return []
    interval = timedelta(seconds=max(plans, key=lambda plan: plan.told_at).interval_s)
    seen = f"planned to last at a tick every {format_duration(interval)}"
    if interval <= max(chosen.max_age, chosen.interval):
        return [Finding(f"{what}: plan", True, seen)]
    fewer = int(chosen.assets * (chosen.max_age / interval))
    remedy = f"{PREFIX}MAX_AGE={format_duration(interval + chosen.max_skew)}"
    if fewer:
        remedy = f"{PREFIX}ASSETS={fewer} or {remedy}"
    why = f'longer than {PREFIX}MAX_AGE={format_duration(chosen.max_age)}, so "now" has no answer in between'
    return [Finding(f"{what}: plan", False, f"{seen}, {why}; {remedy} would do")]
