"""Mends damaged parts of the archive from a store that still has their snapshots."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from lib.archive import tables
from lib.archive.additions import Additions, find_additions
from lib.archive.hourly import ROWS_IN_GROUP, read_hours, series_name
from lib.archive.manifest import FOLDER, Manifest, Part, manifest_name, part_name
from lib.archive.objects import Objects
from lib.archive.parts import TICKS_IN_GROUP, describe_part, hash_part, write_part
from lib.archive.seal import MARKERS_IN_GROUP, Sealer
from lib.archive.store_rows import read_rows
from lib.archive.verify import Verified
from lib.clock import Clock
from lib.errors import Malformed
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Store


class CannotMend(Exception):
    """The store lacks what the part had. A copy of the archive may have it."""


class Mender:
    """Writes damaged parts again, with exactly the snapshots that they had."""

    def __init__(self, store: Store, objects: Objects, series: Sequence[Series], *, clock: Clock) -> None:
        self._store = store
        self._objects = objects
        self._series = {each.name: each for each in series}
        self._clock = clock

    async def mend(self, verified: Verified) -> list[str]:
        """Mend a day's faults. Returns what could not be mended, and why."""
        if verified.manifest is None:
            return await self._seal_again(verified.day)
        manifest, failures = verified.manifest, []
        damaged = {fault.name for fault in verified.faults}
        additions = await find_additions(self._store, self._objects, list(self._series.values()), verified.day, None)
        for part in [part for part in manifest.parts if part.name in damaged]:
            try:
                with self._objects.workspace() as folder:
                    manifest = await self._replace(manifest, part, additions, folder)
            except CannotMend as exc:
                failures.append(f"{part.name}: {exc}")
        return failures

    async def _seal_again(self, day: date) -> list[str]:
        """A damaged manifest is deleted and made anew from the parts that are there."""
        damaged = (await self._objects.names(f"{FOLDER}/date={day}"))[-1]
        await self._objects.delete(damaged)
        await Sealer(self._store, self._objects, list(self._series.values()), clock=self._clock).seal(day)
        return []

    async def _replace(self, manifest: Manifest, part: Part, additions: Additions, folder: Path) -> Manifest:
        made = folder / "mended.parquet"
        markers = _markers_of(manifest, part, additions)
        if part.table == tables.MARKERS:
            frame = tables.markers_frame(markers)
            await asyncio.to_thread(
                write_part, made, tables.MARKER_COLUMNS, iter([frame]), rows_in_group=MARKERS_IN_GROUP
            )
        elif series := self._series.get(part.table):
            await self._write_rows(made, series, markers, additions, manifest)
        elif name := series_name(part.table):
            await self._write_hours(made, part_name(name, manifest.day, 0), folder)
        else:
            raise CannotMend("only a copy of the archive has it")
        await self._objects.delete(part.name)
        await self._objects.create(part.name, made)
        path = await self._objects.local(part.name, folder)
        mended = await asyncio.to_thread(describe_part, path, part.name, part.table)
        return await self._succeed(manifest, mended)

    async def _write_rows(
        self, made: Path, series: Series, markers: Sequence[Marker], additions: Additions, manifest: Manifest
    ) -> None:
        rows = read_rows(self._store, series, markers, additions, lambda marker: None)
        group = TICKS_IN_GROUP * max((marker.assets for marker in markers), default=1)
        await asyncio.to_thread(write_part, made, tables.series_columns(series), rows, rows_in_group=group)
        hashes = await asyncio.to_thread(hash_part, made, series, {marker.tick: marker.source for marker in markers})
        sealed = {each.tick: (each.rows, each.hash) for each in manifest.snapshots[series.name]}
        if any(hashes.get(marker.tick) != sealed[marker.tick] for marker in markers):
            raise CannotMend("the store has other rows than were sealed")

    async def _write_hours(self, made: Path, source: str, folder: Path) -> None:
        try:
            hours = await asyncio.to_thread(read_hours, await self._objects.local(source, folder))
        except (Malformed, OSError, pl.exceptions.PolarsError) as exc:
            raise CannotMend(f"{source} can't be read") from exc
        await asyncio.to_thread(write_part, made, hours.schema, iter([hours]), rows_in_group=ROWS_IN_GROUP)

    async def _succeed(self, manifest: Manifest, mended: Part) -> Manifest:
        """The manifest that has the mended part's digest: a successor, as after any change."""
        parts = [mended if part.name == mended.name else part for part in manifest.parts]
        update = {"number": manifest.number + 1, "parts": parts, "sealed_at": self._clock()}
        successor = manifest.model_copy(update=update)
        await self._objects.create(manifest_name(successor.day, successor.number), successor.model_dump_json().encode())
        return successor


def _markers_of(manifest: Manifest, part: Part, additions: Additions) -> list[Marker]:
    """The markers of the snapshots that a part had. Raises CannotMend if the store lacks some."""
    wanted = {
        (name, each.tick)
        for name, some in manifest.snapshots.items()
        for each in some
        if each.part == part.number and part.table in (name, tables.MARKERS)
    }
    markers = [marker for marker in additions.markers if (marker.series, marker.tick) in wanted]
    if len(markers) < len(wanted):
        raise CannotMend(f"the store no longer has {len(wanted) - len(markers)} of its {len(wanted)} snapshots")
    return markers
