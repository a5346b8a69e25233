"""What the archive costs: a sealed day of 5,000 assets, and a year of 1,000, from a folder and from an object store."""

import os
import random
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import obstore
import pytest
import structlog

from lib.archive.archiver import Archiver
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.clock import DAY, HOUR, isoformat, slot, utc_now
from lib.schema import OWN
from tests.bench.generated import GeneratedStore
from tests.bench.servers import MINUTE, Connection, Server, query_api, report, timed
from tests.fakes import FakeClock
from tests.seaweedfs import Prefix, SeaweedFS

SAMPLES = 200
DAYS = 365
BUDGET = timedelta(minutes=float(os.environ.get("TOPCOINS_TEST_BENCH_MINUTES", "10")))
"""How long the year may take to seal. The days that do not fit in have their hours only."""
AGES = (2, 7, 30, 90, 180, 364)
CLOSED = timedelta(minutes=10)
A_PAGE = 5000
MB = 1e6


async def a_day_of_5000(folder: Path) -> None:
    """Seal a day, then cold lists of 200 and a day's minutes of the top 200, over HTTP and without a hot store."""
    _quiet()
    day = slot(utc_now(), DAY) - 2 * DAY
    clock = FakeClock(day + DAY + CLOSED)
    store = GeneratedStore(clock, assets=5000, first=day, minutes=day, end=day + DAY - MINUTE)
    place = folder / "archive"
    await _sealed(store, Folder(place), clock, "folder")
    await _asked("folder", {"TOPCOINS_ARCHIVE_URL": str(place)}, day, "p50 under 8 ms")
    with _object_store(folder) as prefix:
        if prefix:
            await _sealed(store, prefix.objects(folder / "making"), clock, "object store")
            await _asked("object store", prefix.settings, day, "p50 under 20 ms")


async def a_year_of_1000(folder: Path) -> None:
    """Seal as many days of minutes as the budget allows, the days before with hours; then lists by age, and exports."""
    _quiet()
    today = slot(utc_now(), DAY)
    first, clock = today - DAYS * DAY, FakeClock(today + CLOSED)
    one = GeneratedStore(clock, assets=1000, first=today - DAY, minutes=today - DAY, end=today - MINUTE)
    took = await _sealed(one, Folder(folder / "one"), clock, "one day")
    days = min(DAYS, max(1, int(BUDGET.total_seconds() / 2 / took)))
    minutes = today - days * DAY
    store = GeneratedStore(clock, assets=1000, first=first, minutes=minutes, end=today - MINUTE)
    place = folder / "archive"
    for what, until in ((f"{DAYS - days} days of hours", minutes), (f"{days} days of minutes", today)):
        clock.now = until + CLOSED
        await _sealed(store, Folder(place), clock, what)
    _report_size(place, days)
    await _asked_by_age("folder", {"TOPCOINS_ARCHIVE_URL": str(place)}, first, minutes)
    with _object_store(folder) as prefix:
        if prefix:
            _copy(place, prefix)
            await _asked_by_age("object store", prefix.settings, first, minutes)


async def _sealed(store: GeneratedStore, objects: Objects, clock: FakeClock, what: str) -> float:
    """Seal every closed day; returns the seconds."""
    archiver = Archiver(store, objects, list(OWN.values()), clock=clock, spools=Path("absent"))
    before, cpu, began = _peak_mb(), time.process_time(), time.perf_counter()
    days = await archiver.catch_up()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    if days:
        print(
            f"{what}: {len(days)} days sealed in {took:.1f} s, {took / len(days):.2f} s each, of CPU"
            f" {cpu / len(days):.2f} s; the peak of memory rose by {_peak_mb() - before} MB",
            flush=True,
        )
    return took


async def _asked(name: str, settings: dict[str, str], day: datetime, wanted: str) -> None:
    async with query_api("none", **settings) as api:
        connection = await Connection.to(api.port)
        await connection.get(f"/?limit=200&datetime={isoformat(day)}")
        report(f"{name}: cold lists of 200 of 5,000", await timed(connection, _lists(day)), wanted)
        span = f"from={isoformat(day)}&to={isoformat(day + DAY - MINUTE)}"
        await _exported(api, f"{name}: a day of minutes of the top 200", f"{span}&every=1m", "under 2 s")
        print(f"{name}: the API's peak {api.peak_mb()} MB", flush=True)


async def _asked_by_age(name: str, settings: dict[str, str], first: datetime, minutes: datetime) -> None:
    last = first + DAYS * DAY - MINUTE
    async with query_api("none", **settings) as api:
        connection = await Connection.to(api.port)
        await connection.get(f"/?limit=200&datetime={isoformat(first)}")
        for age in AGES:
            day = slot(last, DAY) - (age - 1) * DAY
            spacing = "minutes" if day >= minutes else "hours"
            report(
                f"{name}: cold lists of 200 of 1,000, {age} days old ({spacing})", await timed(connection, _lists(day))
            )
        took = [sum(await timed(connection, _year_of_hours(id_, first, last))) for id_ in (1, 1027, 52)]
        report(f"{name}: one asset over a year of hours", took, "under 500 ms")
        span = f"from={isoformat(first)}&to={isoformat(last)}&every=1h"
        await _exported(api, f"{name}: a year of hours of the top 200", span)
        print(f"{name}: the API's peak {api.peak_mb()} MB", flush=True)


def _lists(day: datetime) -> list[str]:
    """Lists as of instants of a day, no minute twice. Of a day of hours, those of the few minutes that answer."""
    # Backwards: what follows a request in time is read ahead.
    minutes = sorted(random.Random(1).sample(range(DAY // MINUTE), SAMPLES), reverse=True)
    return [f"/?limit=200&max_age=1h&datetime={isoformat(day + minute * MINUTE)}" for minute in minutes]


def _year_of_hours(cmc_id: int, first: datetime, last: datetime) -> list[str]:
    """The pages of a history."""
    starts = [first, first + A_PAGE * HOUR]
    return [
        f"/v1/assets/{cmc_id}/history?from={isoformat(start)}&to={isoformat(last)}&every=1h&limit={A_PAGE}&format=csv"
        for start in starts
        if start < last
    ]


async def _exported(api: Server, what: str, span: str, wanted: str = "") -> None:
    url = f"http://127.0.0.1:{api.port}/v1/export?{span}&top=200&format=csv"
    began, size, cpu = time.perf_counter(), 0, api.cpu_s()
    # As curl asks for it: to compress and unpack the file takes a second core as long again.
    plain = {"accept-encoding": "identity"}
    async with httpx.AsyncClient(timeout=600, headers=plain) as client, client.stream("GET", url) as answer:
        answer.raise_for_status()
        async for chunk in answer.aiter_raw():
            size += len(chunk)
    print(
        f"{what}: {time.perf_counter() - began:.1f} s, of CPU {api.cpu_s() - cpu:.1f} s, {size / MB:.0f} MB sent"
        f"{f' (wanted: {wanted})' if wanted else ''}",
        flush=True,
    )


def _report_size(place: Path, days: int) -> None:
    """Bytes of all tables. The newest days have minutes."""
    by_day: dict[str, int] = {}
    for path in place.glob("*/date=*/*"):
        by_day[path.parent.name] = by_day.get(path.parent.name, 0) + path.stat().st_size
    each = [size for _, size in sorted(by_day.items())]
    day = sum(each[-days:]) / days
    print(
        f"a day of minutes takes {day / MB:.1f} MB, {day / 1000 / 1440:.1f} bytes an asset-minute; a year of them"
        f" {day * DAYS / MB / 1000:.1f} GB ({'measured' if days == DAYS else f'extrapolated from {days} days'})",
        flush=True,
    )
    if hours := each[:-days]:
        print(f"a day of hours takes {sum(hours) / len(hours) / MB:.2f} MB", flush=True)


@contextmanager
def _object_store(folder: Path) -> Iterator[Prefix | None]:
    """A place in a fresh SeaweedFS; None if it is not built."""
    (folder / "seaweedfs").mkdir()
    try:
        with SeaweedFS(folder / "seaweedfs") as server:
            yield server.prefix()
    except pytest.skip.Exception as exc:
        print(f"not measured: {exc}")
        yield None


def _copy(place: Path, prefix: Prefix) -> None:
    began = time.perf_counter()
    paths = sorted(path for path in place.rglob("*") if path.is_file())

    def put(path: Path) -> None:
        obstore.put(prefix.store, path.relative_to(place).as_posix(), path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, paths))
    size = sum(path.stat().st_size for path in paths)
    print(f"object store: {size / MB:.0f} MB copied into it in {time.perf_counter() - began:.0f} s", flush=True)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
