"""Sealing a closed UTC day: its snapshots become parts in the archive, then its manifest makes them visible.

Part names are fixed and nothing is overwritten. A part that is there already, of a killed attempt or of another
archiver, is adopted: markers, counts and digests are taken from what is in the archive. So an attempt may end anywhere,
and the next one goes on. What comes later is added as further parts with a successor of the manifest.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from lib.archive import tables
from lib.archive.additions import Additions, Key, find_additions, read_withdrawals, spacing_of
from lib.archive.hourly import ROWS_IN_GROUP, hourly_table, read_hours
from lib.archive.manifest import Manifest, Part, SealedTick, Snapshots, manifest_name, newest_manifest, part_name
from lib.archive.objects import Objects
from lib.archive.parts import TICKS_IN_GROUP, describe_part, hash_part, ticks_of, write_part
from lib.archive.store_rows import read_rows
from lib.archive.tables import Withdrawal
from lib.clock import Clock
from lib.errors import StoreMalformed
from lib.ingest.missed import MissedTick
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Store

log = structlog.get_logger()

MARKERS_IN_GROUP = 120
Gaps = Sequence[tuple[str, MissedTick]]


class Sealer:
    """Seals the days of a store, of these series. Any number of sealers may work on the same archive."""

    def __init__(self, store: Store, objects: Objects, series: Sequence[Series], *, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._series = series
        self._clock = clock
        self._unreadable: set[Key] = set()

    async def seal(self, day: date, gaps: Gaps = ()) -> Manifest:
        """Add what the archive lacks of a closed day. Returns the manifest in force, with all that the store has.

        `gaps` are the day's missing ticks; only the first part has them.
        """
        while True:
            manifest = await newest_manifest(self._objects, day)
            additions = await self._additions(day, manifest)
            if manifest and not additions:
                return manifest
            await self._add(day, manifest, additions, gaps)

    async def add_withdrawals(self, day: date, changes: Sequence[Withdrawal]) -> None:
        """Add changes of withdrawals to a sealed day, of ticks that the store may no longer have."""
        while True:
            manifest = await newest_manifest(self._objects, day)
            assert manifest, f"{day} is not sealed"
            known = [change for some in (await read_withdrawals(self._objects, manifest)).values() for change in some]
            if not (missing := [change for change in changes if change not in known]):
                return
            await self._add(day, manifest, Additions(withdrawals=missing))

    async def _add(self, day: date, manifest: Manifest | None, additions: Additions, gaps: Gaps = ()) -> None:
        with self._objects.workspace() as folder:
            attempt = _Attempt(self._store, self._objects, day, manifest, additions, folder)
            for series in self._series:
                await attempt.add_rows(series)
            await attempt.add_markers()
            await attempt.add_small(tables.WITHDRAWALS, tables.withdrawals_frame(additions.withdrawals))
            await attempt.add_small(tables.GAPS, tables.gaps_frame(gaps if manifest is None else ()))
            self._unreadable |= attempt.unreadable
            await self._publish(attempt)

    async def _additions(self, day: date, manifest: Manifest | None) -> Additions:
        found = await find_additions(self._store, self._objects, self._series, day, manifest)
        readable = [marker for marker in found.markers if (marker.series, marker.tick) not in self._unreadable]
        return Additions(readable, found.withdrawals, found.hours)

    async def _publish(self, attempt: "_Attempt") -> None:
        """Make the parts visible. If another archiver was quicker, its manifest is the one in force."""
        manifest = attempt.manifest(self._clock())
        name = manifest_name(manifest.day, manifest.number)
        if await self._objects.create(name, manifest.model_dump_json().encode()):
            log.info(
                "day sealed" if manifest.number == 0 else "sealed day has additions",
                day=str(manifest.day),
                number=manifest.number,
                snapshots=sum(len(each.ticks) for each in manifest.snapshots.values()),
                bytes=sum(part.bytes for part in manifest.parts),
            )


class _Attempt:
    """One attempt to add parts to a day, with what is in the archive afterwards."""

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
            hours = await asyncio.to_thread(read_hours, path)
            await self._add(hourly_table(series.name), hours.schema, iter([hours]), ROWS_IN_GROUP)

    async def add_markers(self) -> None:
        """Add the markers of the snapshots whose rows are in the archive. Note what is there of both in the end."""
        stood = {series.name: await asyncio.to_thread(ticks_of, path) for series, path in self._rows.items()}
        markers = [marker for marker in self._additions.markers if marker.tick in stood.get(marker.series, ())]
        if markers or await self._exists(tables.MARKERS):
            frame = tables.markers_frame(markers)
            path = await self._add(tables.MARKERS, tables.MARKER_COLUMNS, iter([frame]), MARKERS_IN_GROUP)
            self._markers = tables.markers_of(await asyncio.to_thread(pl.read_parquet, path, hive_partitioning=False))
        for series, path in self._rows.items():
            own = {marker.tick: marker for marker in self._markers if marker.series == series.name}
            sources = {tick: marker.source for tick, marker in own.items()}
            hashes = await asyncio.to_thread(hash_part, path, series, sources)
            self._sealed[series.name] = [
                self._sealed_tick(own[tick], *each) for tick, each in hashes.items() if tick in own
            ]

    async def add_small(self, table: str, frame: pl.DataFrame) -> None:
        """Add a part of few rows. A day has a first one also without any: a reader of all days then finds a file."""
        if len(frame) or self._number == 0 or await self._exists(table):
            await self._add(table, frame.schema, iter([frame]), max(len(frame), 1))

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
            log.error("an archived snapshot differs from its marker", series=marker.series, tick=marker.tick)
        return SealedTick(marker.tick, rows, hashed, self._number)

    def _lacks_rows(self, marker: Marker) -> None:
        log.error("the store lacks rows of a snapshot: it is not archived", series=marker.series, tick=marker.tick)
        self.unreadable.add((marker.series, marker.tick))

    async def _exists(self, table: str) -> bool:
        """Whether the part is there already, of an attempt that did not come to its manifest."""
        name = part_name(table, self._day, self._number)
        return name in await self._objects.names(f"{table}/date={self._day}")

    async def _add(
        self, table: str, columns: Mapping[str, Any], frames: Iterator[pl.DataFrame], rows_in_group: int
    ) -> Path:
        """Store a part unless it is there. Returns a local file with what is in the archive, and notes its digest."""
        name = part_name(table, self._day, self._number)
        if not await self._exists(table):
            made = self._folder / f"{table.replace('/', '-')}.parquet"
            await asyncio.to_thread(write_part, made, columns, frames, rows_in_group=rows_in_group)
            await self._objects.create(name, made)
        path = await self._objects.local(name, self._folder)
        try:
            self._parts.append(await asyncio.to_thread(describe_part, path, name, table))
        except pl.exceptions.PolarsError:
            where = f"archive {self._objects.shown}: {name}"
            raise StoreMalformed(
                f"{where} is damaged, and no manifest names it: delete it, then its day is sealed"
            ) from None
        return path
