"""The API answers from the archive with the bytes that the hot store gave: seal, drop the minutes, ask again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from lib.archive.archiver import Archiver
from lib.archive.manifest import start_of
from lib.archive.months import MANIFESTS
from lib.archive.no_store import NoStore
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.archive.reader import ArchiveReader
from lib.archive.tiers import Tiers
from lib.clock import DAY as A_DAY
from lib.clock import EPOCH, MINUTE
from lib.errors import StoreUnavailable
from lib.ingest.missed import MissedTick, MissedTicks
from lib.schema import ID, TIER, VOLUME_RANK, Series
from lib.snapshot import Snapshot
from lib.store import Store
from query_api.app import create_app
from tests.contract.snapshots import snapshot
from tests.fakes import FakeClock, MemoryStore
from tests.unit.archive.world import BOTH

ASSETS = 6
LENGTH = timedelta(hours=3)
NOON = start_of(date(2026, 7, 31)) + timedelta(hours=12)
LATER = NOON + timedelta(days=4)
"""The hot store's retention has passed by then, and the month is sealed."""


@cache
def reading(series: Series, minute: int) -> Snapshot:
    """A market whose ranks change; an asset is renamed, one appears, and the rank side is half a minute late."""
    tick = NOON + minute * MINUTE
    assets = [n for n in range(1, ASSETS + 1) if n != 5 or minute > 70]
    rows = []
    for n in assets:
        names = {"symbol": "NEW" if n == 2 and minute > 95 else f"T{n}", "name": f"Asset {n}"}
        volume = float((n * 37 + minute * 11) % 101) + n / 10
        values = {name: float(n * 10 + minute) for name in series.fields} | {"volume_usd": volume}
        tags = {tag: names[tag] for tag in series.tags}
        own = {name: value for name, value in values.items() if name in series.fields}
        rows.append({ID: 100 + n, TIER: 0} | tags | own)
    if series == VOLUME_RANK:
        for place, row in enumerate(sorted(rows, key=lambda row: -float(str(row["volume_usd"]))), 1):
            row["rank"] = float(place)
    return snapshot(series, tick, rows, interval=MINUTE, source="coinmarketcap" if minute < 60 else "another")


async def filled(folder: Path) -> MemoryStore:
    """Three hours of a day, with a gap, a withdrawn tick, and one that was stored late."""
    store = MemoryStore(FakeClock(NOON + A_DAY), retention=timedelta(days=30))
    (folder / "spool/price").mkdir(parents=True)
    missed = MissedTicks(folder / "spool/price")
    for minute in range(LENGTH // MINUTE):
        if 40 <= minute < 43:
            missed.record(MissedTick(NOON + minute * MINUTE, "source away", "no route", MINUTE))
            continue
        for series in BOTH:
            made = reading(series, minute)
            store.snapshots[series.name, made.tick] = made
    late = ("price", NOON + 100 * MINUTE)
    arrived = replace(store.snapshots[late].marker, stored_at=NOON + 160 * MINUTE)
    store.snapshots[late] = replace(store.snapshots[late], marker=arrived)
    await store.withdraw("volume_rank", NOON + 50 * MINUTE, NOON + 50 * MINUTE, why="of another day")
    return store


@pytest.fixture
async def hot(tmp_path) -> MemoryStore:
    return await filled(tmp_path)


def app(store: Store, clock: FakeClock, tmp_path, *, archive: Objects | None = None) -> ASGIApp:
    return create_app(
        store, clock=clock, max_skew=timedelta(seconds=60), max_age=timedelta(minutes=10), spools=tmp_path / "spool",
        archive=archive,
    )  # fmt: skip


async def answers(asgi: ASGIApp, urls: list[str]) -> AsyncIterator[tuple[str, int, bytes]]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url="http://test") as client:
        for url in urls:
            response = await (client.post(url, json=ROWS) if "/prices" in url else client.get(url))
            yield url, response.status_code, response.content


def at(minute: int) -> str:
    return (NOON + minute * MINUTE).strftime("%Y-%m-%dT%H:%M:%SZ")


URLS = [
    *(f"/v1/top?limit=5&datetime={at(minute)}" for minute in (0, 1, 39, 41, 45, 50, 51, 69, 71, 96, 100, 179, 185)),
    f"/v1/top?limit=3&datetime={at(59)}&format=csv",
    f"/v1/top?datetime={at(100)}&known_at={at(101)}",
    f"/v1/top?datetime={at(50)}&known_at={at(51)}",
    f"/v1/top?datetime={at(-30)}",
    f"/v1/top?datetime={at(500)}",
    f"/v1/top?datetime={at(20)}&symbols=T1,T3",
    f"/v1/top?datetime={at(20)}&exclude=stablecoins",
    f"/v1/assets/101?datetime={at(33)}",
    f"/v1/assets/NEW?datetime={at(120)}",
    f"/v1/assets/105?datetime={at(20)}",
    f"/v1/assets/102/history?from={at(60)}&to={at(179)}&every=1m",
    # Of a span with a withdrawn tick the answer's own `known_at` is near the instant of the request.
    f"/v1/assets/102/history?from={at(0)}&to={at(179)}&every=1m&known_at={at(24 * 60)}",
    f"/v1/assets/102/history?from={at(0)}&to={at(179)}&every=1h&known_at={at(24 * 60)}",
    f"/v1/movers?from={at(30)}&to={at(170)}",
    f"/v1/export?from={at(0)}&to={at(60)}&every=10m&top=3&format=csv",
    f"/v1/export?from={at(30)}&to={at(60)}&every=1m&top=3&format=ndjson",
    f"/v1/sparklines?to={at(170)}&span=1h&ids=101,102&ranks=true",
    f"/v1/gaps?from={at(0)}&to={at(179)}",
    "/v1/prices",
    f"/v1/prices?known_at={at(101)}&format=csv",
]
ROWS = [
    {"time": at(minute), "asset": asset}
    for minute in (-30, 0, 41, 45, 50, 71, 96, 100, 179, 500)
    for asset in (101, 105, "T1", "new", "T2", "NOPE")
]


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> list[tuple[str, int, bytes]]:
    """The answers of the hot store, which are the same beside an archive of any kind."""
    folder = tmp_path_factory.mktemp("hot")

    async def ask() -> list[tuple[str, int, bytes]]:
        asgi = app(await filled(folder), FakeClock(NOON + A_DAY), folder)
        return [answer async for answer in answers(asgi, URLS)]

    return asyncio.run(ask())


@pytest.fixture
async def sealed(objects, hot, tmp_path):
    clock = FakeClock(NOON + A_DAY)
    await Archiver(hot, objects, BOTH, clock=clock, spools=tmp_path / "spool").catch_up()
    return objects


def drop_minutes(hot: MemoryStore) -> None:
    """What the hot store's retention leaves of old ticks: the first of each hour."""
    firsts: dict[tuple[str, datetime], tuple[str, datetime]] = {}
    for name, tick in sorted(hot.snapshots):
        firsts.setdefault((name, tick.replace(minute=0)), (name, tick))
    hot.snapshots = {key: hot.snapshots[key] for key in firsts.values()}


@pytest.mark.parametrize("objects", ["folder", "memory", pytest.param("s3", marks=pytest.mark.s3)], indirect=True)
async def test_every_address_answers_with_the_same_bytes_after_the_minutes_are_gone(before, hot, sealed, tmp_path):
    # From a folder beside a store that has its hours, and from an object store alone.
    assert [(url, body) for url, status, body in before if status not in (200, 404)] == []
    assert sum(status == 200 for _, status, _ in before) > len(URLS) * 3 / 4
    drop_minutes(hot)
    (tmp_path / "spool/price/misses.jsonl").unlink()
    clock = FakeClock(LATER)
    cold = MemoryStore(clock, retention=timedelta(days=2))
    cold.snapshots = hot.snapshots
    await Archiver(cold, sealed, BOTH, clock=clock, spools=tmp_path / "spool").catch_up()  # empty days
    assert await sealed.names(MANIFESTS) == ["monthly/_manifest/month=2026-07.json"]
    tiers = Tiers(
        cold if isinstance(sealed, Folder) else NoStore(clock), ArchiveReader(sealed, clock=clock), clock=clock
    )
    await tiers.refresh()
    after = [answer async for answer in answers(app(tiers, clock, tmp_path, archive=sealed), URLS)]
    assert [answer[:2] for answer in after] == [answer[:2] for answer in before]
    for (url, _, body), (_, _, again) in zip(before, after, strict=True):
        assert again == body, url


async def test_the_names_of_assets_come_from_the_archive_where_the_hot_store_has_none(hot, sealed):
    clock = FakeClock(LATER)
    tiers = Tiers(NoStore(clock), ArchiveReader(sealed, clock=clock), clock=clock)
    names, known = await tiers.asset_names(EPOCH), await hot.asset_names(EPOCH)
    assert names.select("cmc_id", "symbol", "name").rows() == known.select("cmc_id", "symbol", "name").rows()
    assert (names["last"] <= known["last"]).all()
    assert await tiers.asset_names(LATER) is not None


class Away:
    """Objects whose every question raises once `away` is set."""

    def __init__(self, inner: Objects) -> None:
        self._inner = inner
        self.away = False

    def __getattr__(self, name: str) -> object:
        if self.away and name != "shown":
            raise StoreUnavailable("archive: away")
        return getattr(self._inner, name)


@pytest.mark.parametrize("objects", ["memory"], indirect=True)
async def test_while_the_archive_is_away_only_its_instants_are_refused(hot, sealed, tmp_path):
    clock = FakeClock(LATER)
    recent = [reading(series, int((LATER - NOON) / MINUTE) + n) for series in BOTH for n in (-300, -2, -1)]
    store = MemoryStore(clock, retention=timedelta(days=2))
    store.snapshots = {(made.series.name, made.tick): made for made in recent}
    objects = Away(sealed)
    tiers = Tiers(store, ArchiveReader(objects, clock=clock), clock=clock)  # type: ignore[arg-type]
    await tiers.first("price")
    await tiers.first("volume_rank")
    objects.away = True
    clock.move(minutes=2)
    urls = ["/v1/top?limit=2", f"/v1/top?datetime={at(20)}", "/v1/status", "/readyz"]
    found = [status async for _, status, _ in answers(app(tiers, clock, tmp_path), urls)]
    assert found == [200, 503, 200, 200]
    objects.away = False
    clock.move(minutes=2)
    assert [status async for _, status, _ in answers(app(tiers, clock, tmp_path), urls[1:2])] == [200]


@pytest.mark.parametrize("objects", ["memory"], indirect=True)
async def test_an_archive_that_is_away_from_the_start_refuses_only_its_instants(hot, sealed, tmp_path):
    clock = FakeClock(LATER)
    store = MemoryStore(clock, retention=timedelta(days=2))
    made = [reading(series, int((LATER - NOON) / MINUTE) - n) for series in BOTH for n in (1, 300)]
    store.snapshots = {(each.series.name, each.tick): each for each in made}
    objects = Away(sealed)
    objects.away = True
    tiers = Tiers(store, ArchiveReader(objects, clock=clock), clock=clock)  # type: ignore[arg-type]
    await tiers.refresh()
    urls = ["/v1/top?limit=2", f"/v1/top?datetime={at(20)}", "/v1/status"]
    assert [status async for _, status, _ in answers(app(tiers, clock, tmp_path), urls)] == [200, 503, 200]
