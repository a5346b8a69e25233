"""`topcoins doctor`: is everything as it must be? Each finding says what was looked at and what was seen."""

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import orjson
from rich.console import Console
from rich.table import Table

from lib import settings
from lib.cli.forecast import DAY, YEAR, in_a_year, sqlite_bytes_per_tick
from lib.clock import Clock, isoformat
from lib.errors import SettingsRejected, TopcoinsError
from lib.gaps import find_gaps
from lib.http_client import open_client
from lib.ingest.credits import read_plans
from lib.ingest.service import find_source
from lib.schema import OWN
from lib.settings import PREFIX, SQLITE, Settings
from lib.source import Source
from lib.store import Store
from lib.store.address import open_store
from lib.store.sqlite import RETENTION
from lib.units import format_duration

CLOCK_TOLERANCE = timedelta(seconds=2)
STALE_TICKS = 3
MOST_MISSING = 0.01
YEARS = 3650
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: well or not, and what was seen."""

    what: str
    well: bool
    seen: str


def examine(environ: Mapping[str, str], clock: Clock) -> list[Finding]:
    """All findings. With broken settings that is the only one: nothing else can be looked at."""
    try:
        chosen = settings.load(environ)
    except SettingsRejected as exc:
        return [Finding("settings", False, str(exc))]
    where = environ.get(f"{PREFIX}CONFIG", "the environment and the defaults")
    try:
        client = open_client(environ, timeout_s=10)
    except SettingsRejected as exc:
        return [Finding("proxy and certificates", False, str(exc))]
    return [Finding("settings", True, f"read from {where}"), *asyncio.run(_examine(chosen, client, clock))]


async def _examine(chosen: Settings, client: httpx.AsyncClient, clock: Clock) -> list[Finding]:
    async with client:
        return await findings_of(chosen, client, clock)


def show(findings: Sequence[Finding], console: Console) -> None:
    """The findings as a table for people."""
    table = Table("", "looked at", "seen", show_lines=False, box=None)
    for finding in findings:
        mark = "[green]well[/]" if finding.well else "[bold red]wrong[/]"
        table.add_row(mark, finding.what, finding.seen)
    console.print(table)


def as_json(findings: Sequence[Finding]) -> bytes:
    """The findings for machines."""
    return orjson.dumps([asdict(finding) for finding in findings])


async def findings_of(chosen: Settings, client: httpx.AsyncClient, clock: Clock) -> list[Finding]:
    """What is found with these settings: keys, store, ticks, disk."""
    store = open_store(chosen, clock)
    embedded = chosen.store_url.startswith(SQLITE)
    try:
        return [
            *await _keys(chosen, client, store, clock),
            await _store_answers(store),
            *await _ticks(store, clock()),
            *await _gaps(store, clock(), chosen.spool_dir),
            *(
                _disk(chosen, await sqlite_bytes_per_tick(chosen.assets))
                if embedded
                else [await _server_disk(chosen, client)]
            ),
        ]
    finally:
        await store.close()


async def _keys(chosen: Settings, client: httpx.AsyncClient, store: Store, clock: Clock) -> list[Finding]:
    """Each source: how it would be asked; for each key that tells, what is left and how long that lasts."""
    named = [("ingest_price", chosen.price_source), *(("ingest_rank", name) for name in chosen.rank_source)]
    found: list[Finding] = []
    asked: set[str] = set()
    askable: set[str] = set()
    for service, name in named:
        what = f"{service}: {name}"
        try:
            file = find_source(Path(str(files(service))), name)
        except SettingsRejected as exc:
            found.append(Finding(what, False, str(exc)))
            continue
        setting = file.key.setting if file.key else ""
        key = chosen.api_keys.get(setting)
        source = Source(file, client=client, clock=clock, key=key, url=chosen.source_urls.get(file.request.url_setting))
        if source.usable:
            askable.add(service)
        found.append(_how_asked(what, source, setting, keyed=key is not None, chosen=chosen))
        if key is not None and setting not in asked:
            asked.add(setting)
            found += await _credits(setting, source, chosen, store, clock)
    none = sorted({service for service, _ in named} - askable)
    return found + [Finding(service, False, "no source can be asked") for service in none]


def _how_asked(what: str, source: Source, setting: str, *, keyed: bool, chosen: Settings) -> Finding:
    if not setting:
        return Finding(what, True, "needs no key")
    if keyed:
        return Finding(what, True, f"asked with {PREFIX}{setting.upper()}, every {_every(source, chosen)}")
    if source.usable:
        return Finding(what, True, f"asked without a key, every {_every(source, chosen)}")
    return Finding(what, True, f"left out: {PREFIX}{setting.upper()} is not set, and it has no keyless base")


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
        return [Finding(what, True, f"{source.name} does not tell what is left of it")]
    found = [await _lasts(what, source.name, allowance.left, allowance.limit, allowance.resets_at, store, clock())]
    found += _planned(what, source, chosen, clock())
    if allowance.upstream_time:
        told = allowance.upstream_time.earliest
        off = max(began - told - timedelta(seconds=1), told - clock(), timedelta())
        seen = f"within {CLOCK_TOLERANCE.total_seconds():g} s of {source.name}'s"
        well = off <= CLOCK_TOLERANCE
        found.append(Finding("clock", well, seen if well else f"{off.total_seconds():.0f} s off {source.name}'s"))
    return found


async def _lasts(
    what: str, source: str, left: float, limit: float, resets_at: datetime | None, store: Store, now: datetime
) -> Finding:
    """Whether what is left lasts until the reset, at the rate the last day's answers were charged."""
    seen = f"{left:,.0f} of {limit:,.0f} credits left"
    try:
        markers = [m for m in await store.markers(now - DAY, now) if m.source == source]
    except TopcoinsError:
        markers = []
    used = sum(marker.credits for marker in markers)
    if not markers or not used:
        return Finding(what, left > 0, f"{seen}; nothing charged in the last day to reckon with")
    since = max(now - markers[0].tick, timedelta(minutes=1))
    days = since / DAY * (left / used)
    until = "for years" if days > YEARS else f"until {isoformat((now + days * DAY).replace(microsecond=0))}"
    well = resets_at is None or days >= (resets_at - now) / DAY
    return Finding(what, well, f"{seen}; at the last day's {used:,.0f} they last {until}")


def _planned(what: str, source: Source, chosen: Settings, now: datetime) -> list[Finding]:
    """Whether the interval the planner has come to leaves "now" an answer; if not, the settings that would."""
    plans = [p for p in read_plans(chosen.spool_dir) if p.key == source.key_setting and p.resets_at > now]
    if not plans:
        return []
    interval = timedelta(seconds=max(plans, key=lambda plan: plan.told_at).interval_s)
    seen = f"planned to last at a tick every {format_duration(interval)}"
    if interval <= max(chosen.max_age, chosen.interval):
        return [Finding(f"{what}: plan", True, seen)]
    fewer = int(chosen.assets * (chosen.max_age / interval))
    can = f"{PREFIX}MAX_AGE={format_duration(interval + chosen.max_skew)}"
    if fewer:
        can = f"{PREFIX}ASSETS={fewer} or {can}"
    why = f'longer than {PREFIX}MAX_AGE={format_duration(chosen.max_age)}, so "now" has no answer in between'
    return [Finding(f"{what}: plan", False, f"{seen}, {why}; {can} would do")]


async def _store_answers(store: Store) -> Finding:
    try:
        await store.ready()
    except TopcoinsError as exc:
        return Finding("store", False, str(exc))
    return Finding("store", True, "answers")


async def _ticks(store: Store, now: datetime) -> list[Finding]:
    found = []
    for name in OWN:
        try:
            newest = await store.nearest(name, now)
        except TopcoinsError:
            return []  # the store's own finding says why
        if newest is None:
            found.append(Finding(f"ticks of {name}", True, "none stored yet"))
            continue
        age = now - newest.tick
        seen = f"newest {format_duration(age)} old, {newest.assets} assets from {newest.source}"
        found.append(Finding(f"ticks of {name}", age <= STALE_TICKS * newest.interval, seen))
    return found


async def _gaps(store: Store, now: datetime, spools: Path) -> list[Finding]:
    """The last day's ticks without a snapshot, by cause. Wrong when they are more than a hundredth."""
    found = []
    for name in OWN:
        try:
            day = await find_gaps(store, name, now - DAY, now, now=now, folder=spools / name)
        except TopcoinsError:
            return []  # the store's own finding says why
        if not day.expected:
            continue
        causes = ", ".join(f"{ticks} x {cause}" for cause, ticks in day.causes.most_common())
        seen = f"{day.missing} of the last day's {day.expected} ticks are missing"
        well = day.missing <= day.expected * MOST_MISSING
        found.append(Finding(f"gaps of {name}", well, f"{seen}: {causes}" if causes else seen))
    return found


def _disk(chosen: Settings, per_tick: float) -> list[Finding]:
    """Whether the embedded store can be written, and whether a year of it fits the disk."""
    path = Path(chosen.store_url.removeprefix(SQLITE)).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    writable = os.access(path if path.exists() else folder, os.W_OK)
    rights = Finding("store rights", writable, f"{path} can{'' if writable else ' not'} be written")
    year = in_a_year(per_tick, per_tick, chosen.interval, ticks_kept=RETENTION, hours_kept=YEAR - RETENTION)
    held = path.stat().st_size if path.exists() else 0
    free = shutil.disk_usage(folder).free
    seen = f"{_forecast(chosen, per_tick, year, RETENTION)}; {held / GIB:.2f} GiB used, {free / GIB:.1f} GiB free"
    return [rights, Finding("disk", year - held <= free, seen)]


async def _server_disk(chosen: Settings, client: httpx.AsyncClient) -> Finding:
    """What InfluxDB's disk will take; how much is free there can't be seen from here."""
    from lib.store.influx import RETENTION
    from lib.store.influx.disk import row_size

    row, hourly_row = await row_size(chosen, client, "1m"), await row_size(chosen, client, "1h")
    rows = chosen.assets * (len(OWN) + len(chosen.extra_sources))
    year = in_a_year(row.bytes * rows, hourly_row.bytes * rows, chosen.interval, ticks_kept=RETENTION, hours_kept=YEAR)
    counted = f"by InfluxDB's own count of {row.rows:,} rows" if row.rows else "by what a simulated market took"
    return Finding("disk", True, f"{_forecast(chosen, row.bytes * rows, year, RETENTION)}, {counted}")


def _forecast(chosen: Settings, per_tick: float, year: float, retention: timedelta) -> str:
    per_day = per_tick * (DAY / chosen.interval)
    return (
        f"{per_day / GIB:.3f} GiB a day for {chosen.assets} assets every {format_duration(chosen.interval)},"
        f" {year / GIB:.2f} GiB after a year: ticks for {retention.days} days, the first of each hour for ever"
    )
