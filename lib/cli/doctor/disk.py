"""Checks of the disk: what a year of ticks takes, and whether it fits."""

import shutil
from datetime import timedelta
from pathlib import Path

import httpx

from lib.cli.doctor.finding import Finding
from lib.clock import DAY, HOUR
from lib.schema import OWN
from lib.settings import Settings
from lib.units import format_duration

GIB = 2**30
SQLITE_BYTES = 105
"""What a tick of both series adds to the embedded store for each asset."""
YEAR = timedelta(days=365)
LESS = "free space, lower TOPCOINS_ASSETS, or raise TOPCOINS_INTERVAL"


def check_disk(path: Path, assets: int, interval: timedelta, kept: timedelta) -> Finding:
    """Whether a year of the embedded store fits the disk."""
    per_tick = SQLITE_BYTES * assets
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    year = in_a_year(per_tick, per_tick, interval, ticks_kept=kept, hours_kept=YEAR - kept)
    used = path.stat().st_size if path.is_file() else 0
    free = shutil.disk_usage(folder).free
    forecast = _forecast(assets, interval, per_tick, year, kept)
    seen = f"{forecast}; {used / GIB:.2f} GiB used, {free / GIB:.1f} GiB free"
    if year - used <= free:
        return Finding("disk", True, seen)
    days = free / (per_tick * (DAY / interval))
    return Finding("disk", False, f"{seen}: full in {days:.1f} days or less; {LESS}")


async def check_server_disk(chosen: Settings, interval: timedelta, client: httpx.AsyncClient) -> Finding:
    """What InfluxDB's disk will take; its free space is not visible from here."""
    from lib.store.influx import RETENTION
    from lib.store.influx.disk import row_size

    row, hourly_row = await row_size(chosen, client, "1m"), await row_size(chosen, client, "1h")
    rows = chosen.assets * (len(OWN) + len(chosen.extra_sources))
    year = in_a_year(row.bytes * rows, hourly_row.bytes * rows, interval, ticks_kept=RETENTION, hours_kept=YEAR)
    counted = f"by InfluxDB's own count of {row.rows:,} rows" if row.rows else "by what a simulated market took"
    seen = _forecast(chosen.assets, interval, row.bytes * rows, year, RETENTION)
    return Finding("disk", True, f"{seen}, {counted}")


def in_a_year(tick: float, hour: float, interval: timedelta, *, ticks_kept: timedelta, hours_kept: timedelta) -> float:
    """The bytes stored after a year: all ticks within the retention, and one tick an hour for `hours_kept`."""
    ticks = DAY / interval
    return tick * ticks * (ticks_kept / DAY) + hour * min(ticks, DAY / HOUR) * (hours_kept / DAY)


def _forecast(assets: int, interval: timedelta, per_tick: float, year: float, retention: timedelta) -> str:
    per_day = per_tick * (DAY / interval)
    return (
        f"{per_day / GIB:.3f} GiB a day for {assets} assets every {format_duration(interval)},"
        f" {year / GIB:.2f} GiB after a year: ticks for {retention.days} days, the first of each hour for ever"
    )
