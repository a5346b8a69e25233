"""Checks of the store and of what it has."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from lib.cli.doctor.finding import Finding
from lib.clock import DAY, isoformat
from lib.errors import TopcoinsError
from lib.gaps import find_gaps
from lib.ingest.doubtful import count_doubtful
from lib.ingest.last_reading import LastReading, read_last_reading
from lib.ingest.source_choice import read_used_source
from lib.schema import OWN
from lib.store import Store
from lib.units import format_duration

STALE_TICKS = 3
MOST_MISSING = 0.01
OLDEST_UPDATE = timedelta(minutes=30)
"""Vendors update their largest assets every minute. A list whose newest value is older comes from a frozen cache."""


async def check_ticks(store: Store, now: datetime) -> list[Finding]:
    """How old the newest tick of each series is."""
    findings = []
    for name in OWN:
        try:
            newest = await store.nearest(name, now)
        except TopcoinsError:
            return []  # the store's own finding says why
        if newest is None:
            findings.append(Finding(f"ticks of {name}", True, "none stored yet"))
            continue
        age = now - newest.tick
        seen = f"newest {format_duration(age)} old, {newest.assets} assets from {newest.source}"
        findings.append(Finding(f"ticks of {name}", age <= STALE_TICKS * newest.interval, seen))
    return findings


def check_readings(now: datetime, spools: Path) -> Iterator[Finding]:
    """The last list of each series: is its time known, are its values fresh, is it complete? And what is in doubt.

    A source that stands in for a preferred one is reported with the reason.
    """
    for name in OWN:
        if last := read_last_reading(spools / name):
            yield from _readings(f"list of {name}", last, now)
        if (used := read_used_source(spools / name)) and used.is_fallback:
            asked = f"{used.source} without its key" if used.is_keyless else used.source
            why = f"{asked} since {isoformat(used.since)}, because of: {'; '.join(used.why)}"
            yield Finding(f"source of {name}", False, why)
        if lists := count_doubtful(spools / name):
            yield Finding(f"doubtful lists of {name}", False, f"{lists} are kept apart; topcoins doubtful shows them")


def _readings(what: str, last: LastReading, now: datetime) -> Iterator[Finding]:
    if not last.has_upstream_time:
        yield Finding(what, True, f"{last.source} shows no time: our clock is not checked")
    if last.newest_update:
        age = max(now - last.newest_update, timedelta()).total_seconds()
        yield Finding(what, age <= OLDEST_UPDATE.total_seconds(), f"values up to {age:.0f} s old, from {last.source}")
    if last.missing:
        yield Finding(what, False, f"{last.missing} rows asked for did not come from {last.source}")


async def check_gaps(store: Store, now: datetime, spools: Path) -> list[Finding]:
    """The last day's ticks without a snapshot, by cause. Wrong when they are more than a hundredth."""
    findings = []
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
        findings.append(Finding(f"gaps of {name}", well, f"{seen}: {causes}" if causes else seen))
    return findings
