"""Checks of the disk."""

import os
import shutil
from datetime import timedelta
from pathlib import Path

import httpx

from lib.cli.doctor.finding import Finding
from lib.cli.forecast import YEAR, in_a_year
from lib.clock import DAY
from lib.schema import OWN
from lib.settings import SQLITE, Settings
from lib.store.sqlite import RETENTION
from lib.units import format_duration

GIB = 2**30


def check_disk(chosen: Settings, per_tick: float) -> list[Finding]:
    """Whether the embedded store can be written, and whether a year of it fits the disk."""
    path = Path(chosen.store_url.removeprefix(SQLITE)).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    writable = os.access(path if path.exists() else folder, os.W_OK)
    rights = Finding("store rights", writable, f"{path} can{'' if writable else ' not'} be written")
    year = in_a_year(per_tick, per_tick, chosen.interval, ticks_kept=RETENTION, hours_kept=YEAR - RETENTION)
    used = path.stat().st_size if path.exists() else 0
    free = shutil.disk_usage(folder).free
    seen = f"{_forecast(chosen, per_tick, year, RETENTION)}; {used / GIB:.2f} GiB used, {free / GIB:.1f} GiB free"
    return [rights, Finding("disk", year - used <= free, seen)]


async def check_server_disk(chosen: Settings, client: httpx.AsyncClient) -> Finding:
    """What InfluxDB's disk will take; its free space is not visible from here."""
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
