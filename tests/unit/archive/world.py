"""A store with a day of ticks, and an archive to seal it into."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from lib.archive.additions import read_withdrawals
from lib.archive.manifest import Manifest, newest_manifest, start_of
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.archive.seal import Sealer
from lib.archive.tables import MARKERS, markers_of, with_withdrawals
from lib.schema import ID, PRICE, TIER, VOLUME_RANK, Series
from lib.snapshot import Marker, Snapshot
from tests.contract.snapshots import snapshot
from tests.fakes import FakeClock, MemoryStore

DAY = date(2026, 8, 1)
EVERY = timedelta(hours=1)
BOTH = (PRICE, VOLUME_RANK)
NEXT_NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)


@cache
def reading(series: Series, tick: datetime, assets: int = 3, **marked: Any) -> Snapshot:
    """A snapshot whose values differ from tick to tick; the rank is that of the volume."""
    minute = int(tick.timestamp()) // 60
    rows = [
        {ID: 7 * n, TIER: n % 2}
        | {tag: f"{tag} {n}" for tag in series.tags}
        | {name: float(minute % 97 + n) for name in series.fields}
        | ({"rank": float(n), "volume_usd": 1000.0 - n} if series == VOLUME_RANK else {})
        for n in range(1, assets + 1)
    ]
    return snapshot(series, tick, rows, interval=EVERY, **marked)


def ticks_of(day: date, every: timedelta = EVERY) -> list[datetime]:
    """The ticks of a day."""
    return [start_of(day) + n * every for n in range(timedelta(days=1) // every)]


def filled(clock: FakeClock, *days: date, skip: int = 0) -> MemoryStore:
    """A store with these days of both series, without their last `skip` ticks."""
    store = MemoryStore(clock)
    for day in days:
        for tick in ticks_of(day)[: 24 - skip]:
            store.snapshots |= {(series.name, tick): reading(series, tick) for series in BOTH}
    return store


def sealer(store: MemoryStore, objects: Objects, clock: FakeClock) -> Sealer:
    """A sealer of both series."""
    return Sealer(store, objects, BOTH, clock=clock)


@dataclass(frozen=True)
class Sealed:
    """A store and the archive that was sealed from it, to start tests from: a copy costs less than to seal again."""

    store: MemoryStore
    folder: Path

    def copy(self, folder: Path, clock: FakeClock) -> MemoryStore:
        """Copy the archive into the folder. Returns a copy of the store."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        store = MemoryStore(clock)
        store.snapshots = dict(self.store.snapshots)
        return store


async def manifest_of(objects: Objects, day: date = DAY) -> Manifest:
    """The manifest in force of a sealed day."""
    manifest = await newest_manifest(objects, day)
    assert manifest
    return manifest


def names_of(manifest: Manifest, table: str) -> list[str]:
    """The names of a table's parts, the first part first."""
    return [part.name for part in manifest.parts if part.table == table]


async def archived(objects: Objects, day: date = DAY) -> list[Marker]:
    """The markers that the archive's manifest in force makes visible, withdrawals applied, by series and tick."""
    manifest = await newest_manifest(objects, day)
    if manifest is None:
        return []
    changes = await read_withdrawals(objects, manifest)
    sealed = {(name, each.tick) for name, some in manifest.snapshots.items() for each in some}
    frames = [pl.read_parquet(await objects.read(name)) for name in names_of(manifest, MARKERS)]
    markers = [marker for frame in frames for marker in markers_of(frame)]
    assert len(markers) == len({(m.series, m.tick) for m in markers}), "a tick is in two parts"
    assert {(m.series, m.tick) for m in markers} == sealed
    for series in BOTH:
        parts = [
            pl.read_parquet(await objects.read(name), columns=["tick", ID]) for name in names_of(manifest, series.name)
        ]
        rows = pl.concat(parts) if parts else pl.DataFrame(schema={"tick": pl.Datetime, ID: pl.Int64})
        assert not rows.is_duplicated().any(), "a row is in two parts"
        assert set(rows["tick"]) == {m.tick for m in markers if m.series == series.name}
    done = [with_withdrawals(marker, changes.get((marker.series, marker.tick), ())) for marker in markers]
    return sorted(done, key=lambda m: (m.series, m.tick))


async def stored(store: MemoryStore, day: date = DAY) -> list[Marker]:
    """The store's markers of a day, by series and tick."""
    found = await store.markers(start_of(day), start_of(day) + timedelta(days=1, seconds=-1))
    return sorted(found, key=lambda m: (m.series, m.tick))


def rot(path: Path) -> None:
    """Damage every value. The footer stays as it is."""
    body = path.read_bytes()
    values = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    path.write_bytes(body[:4] + b"\xff" * (values - 4) + body[values:])


class FullDisk(Folder):
    """A folder on a disk that takes a part of each table but one."""

    def __init__(self, root: Path, table: str) -> None:
        super().__init__(root)
        self._table = table

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        with super().workspace() as folder:
            (folder / f"{self._table.replace('/', '-')}.parquet").symlink_to("/dev/full")
            yield folder


class Killed(BaseException):
    """The process ends here."""


class Interrupting:
    """`Objects` that call `at` before and after each step that changes something, with the step's number."""

    def __init__(self, inner: Objects, at: Callable[[int], None]) -> None:
        self._inner = inner
        self._at = at
        self.steps = 0

    def _step(self) -> None:
        self._at(self.steps)
        self.steps += 1

    async def create(self, name: str, content: bytes | Path) -> bool:
        self._step()
        created = await self._inner.create(name, content)
        self._step()
        return created

    async def read(self, name: str) -> bytes:
        return await self._inner.read(name)

    async def names(self, prefix: str, *, after: str = "") -> list[str]:
        return await self._inner.names(prefix, after=after)

    async def delete(self, name: str) -> None:
        await self._inner.delete(name)

    async def local(self, name: str, folder: Path) -> Path:
        self._step()
        return await self._inner.local(name, folder)

    def scan(self, names: Sequence[str], columns: Mapping[str, Any]) -> pl.LazyFrame:
        return self._inner.scan(names, columns)

    def workspace(self) -> AbstractContextManager[Path]:
        return self._inner.workspace()

    def copies(self) -> AbstractContextManager[Path]:
        return self._inner.copies()

    @property
    def shown(self) -> str:
        return self._inner.shown
