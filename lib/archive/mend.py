"""Mends damaged parts of the archive from a store that still has their snapshots."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from lib.archive import tables
from lib.archive.additions import Additions, find_additions, read_withdrawals
from lib.archive.attempt import MARKERS_IN_GROUP
from lib.archive.hourly import ROWS_IN_GROUP, read_hours, series_name
from lib.archive.manifest import Manifest, Part, manifest_name, manifest_names, newest_manifest, part_name
from lib.archive.objects import Objects
from lib.archive.parts import TICKS_IN_GROUP, describe_part, hash_part, write_part
from lib.archive.seal import Sealer
from lib.archive.store_rows import read_rows
from lib.archive.tables import Withdrawal
from lib.archive.verify import Verified, verify_day
from lib.clock import Clock
from lib.errors import Malformed
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Store

ONE_GROUP = 10_000
"""A part of few rows."""


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
        try:
            verified = verified if verified.manifest else await self._seal_again(verified.day)
        except Malformed as exc:
            return [str(exc)]
        assert verified.manifest, f"{verified.day} is sealed"
        manifest, failures = verified.manifest, {}
        damaged = {fault.name for fault in verified.faults}
        additions = await find_additions(self._store, self._objects, list(self._series.values()), verified.day, None)
        for part in [part for part in manifest.parts if part.name in damaged]:
            try:
                with self._objects.workspace() as folder:
                    manifest = await self._replace(manifest, part, additions, folder)
            except (CannotMend, Malformed) as exc:
                failures[part.name] = str(exc)
        left = {fault.name: fault.what for fault in (await self._verify(verified.day)).faults}
        return [f"{name}: {what}" for name, what in (left | failures).items()]

    async def _seal_again(self, day: date) -> Verified:
        """Damaged manifests are deleted and made anew from the parts that are there."""
        while not await self._is_readable(day):
            await self._objects.delete((await manifest_names(self._objects, day))[-1])
        await Sealer(self._store, self._objects, list(self._series.values()), clock=self._clock).seal_again(day)
        return await self._verify(day)

    async def _is_readable(self, day: date) -> bool:
        try:
            await newest_manifest(self._objects, day)
        except Malformed:
            return False
        return True

    async def _verify(self, day: date) -> Verified:
        with self._objects.copies() as folder:
            return await verify_day(self._objects, list(self._series.values()), day, folder)

    async def _replace(self, manifest: Manifest, part: Part, additions: Additions, folder: Path) -> Manifest:
        made = folder / "mended.parquet"
        markers = _markers_of(manifest, part, additions)
        if part.table == tables.MARKERS:
            await _write(made, tables.markers_frame(markers), MARKERS_IN_GROUP)
        elif series := self._series.get(part.table):
            await self._write_rows(made, series, markers, additions, manifest)
        elif name := series_name(part.table):
            await self._write_hours(made, part_name(name, manifest.day, 0), folder)
        elif part.table == tables.WITHDRAWALS:
            await _write(made, tables.withdrawals_frame(await self._withdrawals(manifest, part, additions)))
        elif not part.rows:
            await _write(made, tables.gaps_frame(()))
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
        await _write(made, hours, ROWS_IN_GROUP)

    async def _withdrawals(self, manifest: Manifest, part: Part, additions: Additions) -> list[Withdrawal]:
        """The changes that a part had: those of the store that no other part has."""
        others = [each for each in manifest.parts if each != part]
        known = await read_withdrawals(self._objects, manifest.model_copy(update={"parts": others}))
        changes = [each for each in additions.withdrawals if each not in known.get((each.series, each.tick), ())]
        if part.rows and len(changes) != part.rows:
            raise CannotMend(f"the store has {len(changes)} of its {part.rows} withdrawals")
        return changes if part.rows else []

    async def _succeed(self, manifest: Manifest, mended: Part) -> Manifest:
        """The manifest that has the mended part's digest: a successor, as after any change."""
        parts = [mended if part.name == mended.name else part for part in manifest.parts]
        update = {"number": manifest.number + 1, "parts": parts, "sealed_at": self._clock()}
        successor = manifest.model_copy(update=update)
        await self._objects.create(manifest_name(successor.day, successor.number), successor.model_dump_json().encode())
        return successor


async def _write(made: Path, frame: pl.DataFrame, rows_in_group: int = ONE_GROUP) -> None:
    await asyncio.to_thread(write_part, made, frame.schema, iter([frame]), rows_in_group=rows_in_group)


def _markers_of(manifest: Manifest, part: Part, additions: Additions) -> list[Marker]:
    """The markers of the snapshots that a part had. Raises CannotMend if the store lacks some, or has others."""
    wanted = {
        (name, each.tick): each.hash
        for name, some in manifest.snapshots.items()
        for each in some
        if each.part == part.number and part.table in (name, tables.MARKERS)
    }
    markers = [marker for marker in additions.markers if (marker.series, marker.tick) in wanted]
    if len(markers) < len(wanted):
        raise CannotMend(f"the store no longer has {len(wanted) - len(markers)} of its {len(wanted)} snapshots")
    if any(marker.hash not in ("", wanted[marker.series, marker.tick]) for marker in markers):
        raise CannotMend("the store has other snapshots than were sealed")
    return markers
