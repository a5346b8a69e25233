"""Checks of sources, keys, credits and the clock."""

from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx

from lib.cli.doctor.finding import Finding
from lib.clock import DAY, Clock, isoformat
from lib.errors import SettingsRejected, TopcoinsError
from lib.ingest.credit_plan import read_plans
from lib.ingest.service import find_source
from lib.settings import PREFIX, Settings
from lib.source import Source
from lib.store import Store
from lib.units import format_duration

CLOCK_TOLERANCE = timedelta(seconds=2)
YEARS = 3650


async def check_keys(chosen: Settings, client: httpx.AsyncClient, store: Store, clock: Clock) -> list[Finding]:
    """For each source how it is asked; for each key that can report it, the credits left and how long they last."""
    by_service = {"ingest_price": chosen.price_source, "ingest_rank": chosen.rank_source}
    sources = [(service, name) for service, names in by_service.items() for name in names]
    findings: list[Finding] = []
    checked_keys: set[str] = set()
    askable: set[str] = set()
    for service, name in sources:
        what = f"{service}: {name}"
        try:
            file = find_source(Path(str(files(service))), name)
        except SettingsRejected as exc:
            findings.append(Finding(what, False, str(exc)))
            continue
        setting = file.key.setting if file.key else ""
        key = chosen.api_keys.get(setting)
        source = Source(file, client=client, clock=clock, key=key, url=chosen.source_urls.get(file.request.url_setting))
        if source.usable:
            askable.add(service)
        findings.append(_how_asked(what, source, setting, keyed=key is not None, chosen=chosen))
        if key is not None and setting not in checked_keys:
            checked_keys.add(setting)
            findings += await _credits(setting, source, chosen, store, clock)
    without_source = sorted({service for service, _ in sources} - askable)
    return findings + [Finding(service, False, "no source can be asked") for service in without_source]


def _how_asked(what: str, source: Source, setting: str, *, keyed: bool, chosen: Settings) -> Finding:
    if not setting:
        return Finding(what, True, "needs no key")
    if keyed:
        return Finding(what, True, f"asked with {PREFIX}{setting.upper()}, every {_every(source, chosen)}")
    if source.usable:
        return Finding(what, True, f"asked without a key, every {_every(source, chosen)}")
    return Finding(what, True, f"left out: {PREFIX}{setting.upper()} is not set, and it has no keyless address")


def _every(source: Source, chosen: Settings) -> str:
    return format_duration(source.interval(chosen.interval))


async def _credits(setting: str, source: Source, chosen: Settings, store: Store, clock: Clock) -> list[Finding]:
    what = f"{PREFIX}{setting.upper()}"
    began = clock()
    try:
        allowance = await source.allowance()
    except TopcoinsError as exc:
        return [Finding(what, False, str(exc))]
    if allowance is None:
        return [Finding(what, True, f"{source.name} does not report what is left of it")]
    findings = [await _lasts(what, source.name, allowance.left, allowance.limit, allowance.resets_at, store, clock())]
    findings += _planned(what, source, chosen, clock())
    if allowance.upstream_time:
        upstream_time = allowance.upstream_time.earliest
        off = max(began - upstream_time - timedelta(seconds=1), upstream_time - clock(), timedelta())
        seen = f"within {CLOCK_TOLERANCE.total_seconds():g} s of {source.name}'s"
        well = off <= CLOCK_TOLERANCE
        findings.append(Finding("clock", well, seen if well else f"{off.total_seconds():.0f} s off {source.name}'s"))
    return findings


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
        return Finding(what, left > 0, f"{seen}; nothing was charged in the last day, so no forecast")
    since = max(now - markers[0].tick, timedelta(minutes=1))
    days = since / DAY * (left / used)
    until = "for years" if days > YEARS else f"until {isoformat((now + days * DAY).replace(microsecond=0))}"
    well = resets_at is None or days >= (resets_at - now) / DAY
    return Finding(what, well, f"{seen}; at the last day's {used:,.0f} they last {until}")


def _planned(what: str, source: Source, chosen: Settings, now: datetime) -> list[Finding]:
    """Whether "now" always has an answer at the planned interval; if not, the settings that would do."""
    plans = [p for p in read_plans(chosen.spool_dir) if p.key == source.key_setting and p.resets_at > now]
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
