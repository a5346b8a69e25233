"""Checks of the store and of what it has."""

from datetime import datetime
from pathlib import Path

from lib.cli.doctor.finding import Finding
from lib.cli.forecast import DAY
from lib.errors import TopcoinsError
from lib.gaps import find_gaps
from lib.schema import OWN
from lib.store import Store
from lib.units import format_duration

STALE_TICKS = 3


MOST_MISSING = 0.01


async def check_store(store: Store) -> Finding:
    """Whether the store answers a query."""
    try:
        await store.ready()
    except TopcoinsError as exc:
        return Finding("store", False, str(exc))
    return Finding("store", True, "answers")


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
