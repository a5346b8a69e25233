"""One attempt to add parts to a day of the archive."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

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

P = ParamSpec("P")
T = TypeVar("T")

MARKERS_IN_GROUP = 120
_UNNAMED = ", and no manifest names it: delete it, then its day is sealed"


@dataclass(slots=True)
class Attempt:
    """One attempt to add parts to a day, with what is in the archive afterwards.

    A part that is there already, of a killed attempt or of another archiver, is adopted: markers, counts and digests
    are taken from what is in the archive. Raises StoreMalformed, with the name of the part, if that is damaged.
    """

    store: Store
    objects: Objects
    day: date
    before: Manifest | None
    additions: Additions
    folder: Path
    unreadable: set[Key] = field(default_factory=set)
    _parts: list[Part] = field(default_factory=list)
    _rows: dict[Series, Path] = field(default_factory=dict)
    _markers: list[Marker] = field(default_factory=list)
    _sealed: dict[str, list[SealedTick]] = field(default_factory=dict)
    _adopted: set[str] = field(default_factory=set)

    @property
    def number(self) -> int:
        """The number of the parts, and of the manifest that makes them visible."""
        return self.before.number + 1 if self.before else 0

    async def add_rows(self, series: Series) -> None:
        """Add the part of a series, and of the first one the side table of hours."""
        markers = self.additions.of(series)
        if not markers and not await self._exists(series.name):
            return
        group = TICKS_IN_GROUP * max((marker.assets for marker in markers), default=1)
        frames = read_rows(self.store, series, markers, self.additions, self._lacks_rows)
        self._rows[series] = path = await self._add(series.name, tables.series_columns(series), frames, group)
        if self.number == 0:
            hours = await self._read(series.name, read_hours, path)
            table = hourly_table(series.name)
            path = await self._add(table, hours.schema, iter([hours]), ROWS_IN_GROUP)
            if not (await self._read(table, _whole, path)).equals(hours):
                raise self._damaged(table)

    async def add_markers(self) -> None:
        """Add the markers of the snapshots whose rows are in the archive. Note what is there of both in the end."""
        present = {each.name: await self._read(each.name, ticks_of, path) for each, path in self._rows.items()}
        markers = [marker for marker in await self._known(present) if marker.tick in present.get(marker.series, ())]
        if markers or await self._exists(tables.MARKERS):
            frame = tables.markers_frame(markers)
            path = await self._add(tables.MARKERS, tables.MARKER_COLUMNS, iter([frame]), MARKERS_IN_GROUP)
            self._markers = await self._read(tables.MARKERS, lambda: tables.markers_of(_whole(path)))
            if tables.MARKERS in self._adopted and not self._are_stored(markers):
                raise self._damaged(tables.MARKERS)
        for series, path in self._rows.items():
            own = {marker.tick: marker for marker in self._markers if marker.series == series.name}
            sources = {tick: marker.source for tick, marker in own.items()}
            hashes = await self._read(series.name, hash_part, path, series, sources)
            self._sealed[series.name] = [
                self._sealed_tick(own[tick], *each) for tick, each in hashes.items() if tick in own
            ]

    async def _known(self, present: Mapping[str, Collection[datetime]]) -> Sequence[Marker]:
        """The markers to add. An adopted part may have ticks that the store got since we looked: look again."""
        known = {(marker.series, marker.tick) for marker in self.additions.markers}
        if all((name, tick) in known for name, ticks in present.items() for tick in ticks):
            return self.additions.markers
        again = await find_additions(self.store, self.objects, list(self._rows), self.day, self.before)
        return again.markers

    def _are_stored(self, markers: Iterable[Marker]) -> bool:
        """Whether the archive's markers are those of the store, as far as it has them."""
        stored = {(marker.series, marker.tick): marker.without_withdrawal() for marker in markers}
        return all(stored.get((marker.series, marker.tick), marker) == marker for marker in self._markers)

    async def add_small(self, table: str, frame: pl.DataFrame) -> None:
        """Add a part of few rows. A day has a first one also without any: a reader of all days then finds a file."""
        if len(frame) or self.number == 0 or await self._exists(table):
            path = await self._add(table, frame.schema, iter([frame]), max(len(frame), 1))
            await self._read(table, _whole, path)

    def manifest(self, now: datetime) -> Manifest:
        """The manifest that adds these parts to those before."""
        before = self.before
        snapshots = {name: [*each] for name, each in before.snapshots.items()} if before else {}
        for name, added in self._sealed.items():
            snapshots[name] = [*snapshots.get(name, []), *added]
        return Manifest(
            day=self.day,
            number=self.number,
            sealed_at=now,
            spacing=before.spacing if before else spacing_of(self._markers, self.day, self.store.horizon()),
            parts=[*(before.parts if before else ()), *self._parts],
            snapshots={name: Snapshots.of(each) for name, each in snapshots.items()},
        )

    def _sealed_tick(self, marker: Marker, rows: int, hashed: str) -> SealedTick:
        if marker.hash and marker.hash != hashed:
            if marker.series in self._adopted:
                raise self._damaged(marker.series)
            log.error("an archived snapshot differs from its marker", series=marker.series, tick=marker.tick)
        return SealedTick(marker.tick, rows, hashed, self.number)

    def _lacks_rows(self, marker: Marker) -> None:
        log.error("the store lacks rows of a snapshot: it is not archived", series=marker.series, tick=marker.tick)
        self.unreadable.add((marker.series, marker.tick))

    async def _exists(self, table: str) -> bool:
        """Whether the part is there already, of an attempt that did not come to its manifest."""
        return await is_stored(self.objects, part_name(table, self.day, self.number))

    async def _add(
        self, table: str, columns: Mapping[str, Any], frames: Iterator[pl.DataFrame], rows_in_group: int
    ) -> Path:
        """Store a part unless it is there. Returns a local file with what is in the archive, and notes its digest."""
        name = part_name(table, self.day, self.number)
        is_there = await self._exists(table)
        if not is_there:
            made = self.folder / f"{table.replace('/', '-')}.parquet"
            await asyncio.to_thread(write_part, made, columns, frames, rows_in_group=rows_in_group)
            is_there = not await self.objects.create(name, made)
        if is_there:
            self._adopted.add(table)
        path = await self.objects.local(name, self.folder)
        self._parts.append(await self._read(table, describe_part, path, name, table))
        return path

    async def _read(self, table: str, read: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """What a thread reads of a part. If it can't be decoded, StoreMalformed names it."""
        with naming(self.objects, part_name(table, self.day, self.number), _UNNAMED):
            return await asyncio.to_thread(read, *args, **more)

    def _damaged(self, table: str) -> StoreMalformed:
        name = part_name(table, self.day, self.number)
        return StoreMalformed(f"archive {self.objects.shown}: {name} is damaged{_UNNAMED}")


def _whole(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False)
