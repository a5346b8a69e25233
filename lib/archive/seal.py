"""Sealing a closed UTC day: its snapshots become parts in the archive, then its manifest makes them visible.

Part names are fixed and nothing is overwritten. A part that is there already, of a killed attempt or of another
archiver, is adopted: markers, counts and digests are taken from what is in the archive. So an attempt may end anywhere,
and the next one goes on. What comes later is added as further parts with a successor of the manifest.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import structlog

from lib.archive import tables
from lib.archive.additions import Additions, Key, find_additions
from lib.archive.manifest import Manifest, Part, SealedTick, Snapshots, manifest_name, newest_manifest, part_name
from lib.archive.objects import Objects
from lib.archive.parts import TICKS_IN_GROUP, describe_part, hash_part, write_part
from lib.clock import Clock
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
            with self._objects.workspace() as folder:
                attempt = _Attempt(self._store, self._objects, day, manifest, additions, folder)
                for series in self._series:
                    await attempt.add_rows(series)
                await attempt.add_markers()
                await attempt.add_small(tables.WITHDRAWALS, tables.withdrawals_frame(additions.withdrawals))
                if manifest is None:
                    await attempt.add_small(tables.GAPS, tables.gaps_frame(gaps))
                self._unreadable |= attempt.unreadable
                await self._publish(attempt)

    async def _additions(self, day: date, manifest: Manifest | None) -> Additions:
        found = await find_additions(self._store, self._objects, self._series, day, manifest)
        readable = [marker for marker in found.markers if (marker.series, marker.tick) not in self._unreadable]
        return Additions(readable, found.withdrawals, found.hours, found.spacing)

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
        self._stood: dict[Key, tuple[int, str]] = {}
        self._sealed: dict[str, list[SealedTick]] = {}
        self.unreadable: set[Key] = set()

    async def add_rows(self, series: Series) -> None:
        """Add the part of a series."""
        markers = self._additions.of(series)
        if not markers and not await self._exists(series.name):
            return
        group = TICKS_IN_GROUP * max((marker.assets for marker in markers), default=1)
        frames = _in_thread(asyncio.get_running_loop(), self._frames(series, markers))
        path = await self._add(series.name, tables.series_columns(series), frames, group)
        sources = {marker.tick: marker.source for marker in markers}
        hashes = await asyncio.to_thread(hash_part, path, series, sources)
        self._stood |= {(series.name, tick): each for tick, each in hashes.items()}

    async def add_markers(self) -> None:
        """Add the markers of the snapshots whose rows are in the archive."""
        markers = [m for m in self._additions.markers if (m.series, m.tick) in self._stood]
        if not markers and not await self._exists(tables.MARKERS):
            return
        frame = tables.markers_frame(markers)
        path = await self._add(tables.MARKERS, tables.MARKER_COLUMNS, iter([frame]), MARKERS_IN_GROUP)
        for marker in tables.markers_of(await asyncio.to_thread(pl.read_parquet, path, hive_partitioning=False)):
            if stood := self._stood.get((marker.series, marker.tick)):
                self._note(marker, *stood)

    async def add_small(self, table: str, frame: pl.DataFrame) -> None:
        """Add a part of few rows, if it has any."""
        if len(frame) or await self._exists(table):
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
            spacing=self._additions.spacing,
            parts=[*(self._before.parts if self._before else ()), *self._parts],
            snapshots={name: Snapshots.of(each) for name, each in snapshots.items()},
        )

    def _note(self, marker: Marker, rows: int, hashed: str) -> None:
        if marker.hash and marker.hash != hashed:
            log.error("an archived snapshot differs from its marker", series=marker.series, tick=marker.tick)
        self._sealed.setdefault(marker.series, []).append(SealedTick(marker.tick, rows, hashed, self._number))

    async def _frames(self, series: Series, markers: Sequence[Marker]) -> AsyncIterator[pl.DataFrame]:
        """The rows of these snapshots from the store, some ticks at a time."""
        for resolution in ("1h", "1m"):
            some = [marker for marker in markers if self._additions.resolution(marker) == resolution]
            for at in range(0, len(some), TICKS_IN_GROUP):
                group = {marker.tick: marker for marker in some[at : at + TICKS_IN_GROUP]}
                rows = await self._store.rows_between(series, list(group), resolution=resolution)
                whole = {tick: frame for tick, frame in rows.items() if self._is_whole(group[tick], frame)}
                if whole:
                    yield await asyncio.to_thread(_with_ticks, series, whole)

    def _is_whole(self, marker: Marker, rows: pl.DataFrame) -> bool:
        """Whether the store has all rows of a snapshot. One that lacks some must not stop the rest of its day."""
        if len(rows) == marker.assets:
            return True
        log.error("the store lacks rows of a snapshot: it is not archived", series=marker.series, tick=marker.tick)
        self.unreadable.add((marker.series, marker.tick))
        return False

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
            made = self._folder / f"{table}.parquet"
            await asyncio.to_thread(write_part, made, columns, frames, rows_in_group=rows_in_group)
            await self._objects.create(name, made)
        path = await self._objects.local(name, self._folder)
        self._parts.append(await asyncio.to_thread(describe_part, path, name, table))
        return path


def _with_ticks(series: Series, rows: Mapping[datetime, pl.DataFrame]) -> pl.DataFrame:
    ticks = [frame.select(pl.lit(tick, tables.TIME).alias(tables.TICK), pl.all()) for tick, frame in rows.items()]
    return tables.in_order(series, pl.concat(ticks))


def _in_thread(loop: asyncio.AbstractEventLoop, frames: AsyncIterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames for a reader in another thread; the loop makes each when the reader asks for it."""

    async def following() -> pl.DataFrame | None:
        return await anext(frames, None)

    while (frame := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield frame
