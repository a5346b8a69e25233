"""One attempt to add parts to a day of the archive."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from lib.archive import tables
from lib.archive.additions import Additions, Key, find_additions, spacing_of
from lib.archive.hourly import ROWS_IN_GROUP, hourly_table, read_hours
from lib.archive.manifest import Manifest, Part, SealedTick, Snapshots, part_name
from lib.archive.objects import Objects, is_stored
from lib.archive.parts import TICKS_IN_GROUP, describe_part, hash_part, naming, ticks_of, write_part
from lib.archive.store_rows import read_rows
from lib.errors import StoreMalformed
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Store

log = structlog.get_logger()

MARKERS_IN_GROUP = 120
_UNNAMED = ", and no manifest names it: delete it, then its day is sealed"


class Attempt:
    """One attempt to add parts to a day, with what is in the archive afterwards.

    A part that is there already, of a killed attempt or of another archiver, is adopted: markers, counts and digests
    are taken from what is in the archive. Raises StoreMalformed, with the name of the part, if that is damaged.
    """

    def __init__(
        self,
        store: Store,
        objects: Objects,
        day: date,
        before: Manifest | None,
        additions: Additions,
        folder: Path,
    ) -> None:
        self._store = store
        self._objects = objects
        self._day = day
        self._before = before
        self._number = before.number + 1 if before else 0
        self._additions = additions
        self._folder = folder
        self._parts: list[Part] = []
        self._rows: dict[Series, Path] = {}
        self._markers: list[Marker] = []
        self._sealed: dict[str, list[SealedTick]] = {}
        self._adopted: set[str] = set()
        self.unreadable: set[Key] = set()

    async def add_rows(self, series: Series) -> None:
        """Add the part of a series, and of the first one the side table of hours."""
        markers = self._additions.of(series)
        if not markers and not await self._exists(series.name):
            return
        group = TICKS_IN_GROUP * max((marker.assets for marker in markers), default=1)
        frames = read_rows(self._store, series, markers, self._additions, self._lacks_rows)
        self._rows[series] = path = await self._add(series.name, tables.series_columns(series), frames, group)
        if self._number == 0:
            with self._naming(series.name):
                hours = await asyncio.to_thread(read_hours, path)
            table = hourly_table(series.name)
            path = await self._add(table, hours.schema, iter([hours]), ROWS_IN_GROUP)
            with self._naming(table):
                if not (await asyncio.to_thread(_read, path)).equals(hours):
                    raise self._damaged(table)

    async def add_markers(self) -> None:
        """Add the markers of the snapshots whose rows are in the archive. Note what is there of both in the end."""
        present = {series.name: await self._ticks(series, path) for series, path in self._rows.items()}
        markers = [marker for marker in await self._known(present) if marker.tick in present.get(marker.series, ())]
        if markers or await self._exists(tables.MARKERS):
            frame = tables.markers_frame(markers)
            path = await self._add(tables.MARKERS, tables.MARKER_COLUMNS, iter([frame]), MARKERS_IN_GROUP)
            with self._naming(tables.MARKERS):
                self._markers = tables.markers_of(await asyncio.to_thread(_read, path))
            if tables.MARKERS in self._adopted and not self._are_stored(markers):
                raise self._damaged(tables.MARKERS)
        for series, path in self._rows.items():
            own = {marker.tick: marker for marker in self._markers if marker.series == series.name}
            sources = {tick: marker.source for tick, marker in own.items()}
            with self._naming(series.name):
                hashes = await asyncio.to_thread(hash_part, path, series, sources)
            self._sealed[series.name] = [
                self._sealed_tick(own[tick], *each) for tick, each in hashes.items() if tick in own
            ]

    async def _ticks(self, series: Series, path: Path) -> frozenset[datetime]:
        with self._naming(series.name):
            return await asyncio.to_thread(ticks_of, path)

    async def _known(self, present: Mapping[str, Collection[datetime]]) -> Sequence[Marker]:
        """The markers to add. An adopted part may have ticks that the store got since we looked: look again."""
        known = {(marker.series, marker.tick) for marker in self._additions.markers}
        if all((name, tick) in known for name, ticks in present.items() for tick in ticks):
            return self._additions.markers
        again = await find_additions(self._store, self._objects, list(self._rows), self._day, self._before)
        return again.markers

    def _are_stored(self, markers: Iterable[Marker]) -> bool:
        """Whether the archive's markers are those of the store, as far as it has them."""
        stored = {(marker.series, marker.tick): marker.without_withdrawal() for marker in markers}
        return all(stored.get((marker.series, marker.tick), marker) == marker for marker in self._markers)

    async def add_small(self, table: str, frame: pl.DataFrame) -> None:
        """Add a part of few rows. A day has a first one also without any: a reader of all days then finds a file."""
        if len(frame) or self._number == 0 or await self._exists(table):
            path = await self._add(table, frame.schema, iter([frame]), max(len(frame), 1))
            with self._naming(table):
                await asyncio.to_thread(_read, path)

    def manifest(self, now: datetime) -> Manifest:
        """The manifest that adds these parts to those before."""
        snapshots = {name: [*each] for name, each in self._before.snapshots.items()} if self._before else {}
        for name, added in self._sealed.items():
            snapshots[name] = [*snapshots.get(name, []), *added]
        return Manifest(
            day=self._day,
            number=self._number,
            sealed_at=now,
            spacing=self._before.spacing
            if self._before
            else spacing_of(self._markers, self._day, self._store.horizon()),
            parts=[*(self._before.parts if self._before else ()), *self._parts],
            snapshots={name: Snapshots.of(each) for name, each in snapshots.items()},
        )

    def _sealed_tick(self, marker: Marker, rows: int, hashed: str) -> SealedTick:
        if marker.hash and marker.hash != hashed:
            if marker.series in self._adopted:
                raise self._damaged(marker.series)
            log.error("an archived snapshot differs from its marker", series=marker.series, tick=marker.tick)
        return SealedTick(marker.tick, rows, hashed, self._number)

    def _lacks_rows(self, marker: Marker) -> None:
        log.error("the store lacks rows of a snapshot: it is not archived", series=marker.series, tick=marker.tick)
        self.unreadable.add((marker.series, marker.tick))

    async def _exists(self, table: str) -> bool:
        """Whether the part is there already, of an attempt that did not come to its manifest."""
        return await is_stored(self._objects, part_name(table, self._day, self._number))

    async def _add(
        self, table: str, columns: Mapping[str, Any], frames: Iterator[pl.DataFrame], rows_in_group: int
    ) -> Path:
        """Store a part unless it is there. Returns a local file with what is in the archive, and notes its digest."""
        name = part_name(table, self._day, self._number)
        is_ours = False
        if not await self._exists(table):
            made = self._folder / f"{table.replace('/', '-')}.parquet"
            await asyncio.to_thread(write_part, made, columns, frames, rows_in_group=rows_in_group)
            is_ours = await self._objects.create(name, made)
        if not is_ours:
            self._adopted.add(table)
        path = await self._objects.local(name, self._folder)
        with self._naming(table):
            self._parts.append(await asyncio.to_thread(describe_part, path, name, table))
        return path

    def _naming(self, table: str) -> AbstractContextManager[None]:
        return naming(self._objects, part_name(table, self._day, self._number), _UNNAMED)

    def _damaged(self, table: str) -> StoreMalformed:
        name = part_name(table, self._day, self._number)
        return StoreMalformed(f"archive {self._objects.shown}: {name} is damaged{_UNNAMED}")


def _read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False)
