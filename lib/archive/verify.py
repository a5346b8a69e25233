"""`topcoins archive verify`: is every sealed day or month what was sealed? Each fault is named, none stops the rest.

Months have nothing that their days lack.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import polars as pl

from lib.archive import tables
from lib.archive.manifest import Manifest, Part, SealedTick, newest_manifest, sealed_days
from lib.archive.months import FOLDER, MANIFESTS, read_month
from lib.archive.objects import Objects
from lib.archive.parts import describe_part, hash_part, sound_part
from lib.clock import isoformat
from lib.errors import Malformed
from lib.schema import OWN, Series
from lib.snapshot import Marker

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was sealed: the name of the part or manifest, and what is wrong."""

    name: str
    what: str


@dataclass(slots=True)
class Verified:
    """The result of one day. Without a manifest, the manifest itself is the fault."""

    day: date
    manifest: Manifest | None
    faults: list[Fault] = field(default_factory=list)

    @property
    def snapshots(self) -> int:
        """How many snapshots the day has."""
        return sum(len(each.ticks) for each in self.manifest.snapshots.values()) if self.manifest else 0


async def verify(objects: Objects, series: Sequence[Series]) -> AsyncIterator[Verified]:
    """Check each sealed day, oldest first: digests, content hashes, and that no tick is in two parts.

    Raises StoreUnavailable if the archive goes away; whatever is damaged is a fault.
    """
    for day in await sealed_days(objects):
        with objects.copies() as folder:
            verified = await verify_day(objects, series, day, folder)
        yield verified


async def verify_day(objects: Objects, series: Sequence[Series], day: date, folder: Path) -> Verified:
    """Check one day. Copies of parts, where they are needed, go into `folder`."""
    try:
        manifest = await newest_manifest(objects, day)
    except Malformed as exc:
        return Verified(day, None, [Fault(f"date={day}", str(exc))])
    assert manifest, f"{day} is not sealed"
    check = _Check(objects, {each.name: each for each in (*OWN.values(), *series)}, manifest)
    for part in sorted(manifest.parts, key=lambda part: part.table != tables.MARKERS):  # the sources come first
        await check.part(part, folder)
    check.ends()
    return Verified(day, manifest, check.faults)


class _Check:
    """Checks the parts of a day, its markers first."""

    def __init__(self, objects: Objects, series: dict[str, Series], manifest: Manifest) -> None:
        self._objects = objects
        self._series = series
        self._sealed: dict[tuple[str, datetime], SealedTick] = {
            (name, each.tick): each for name, some in manifest.snapshots.items() for each in some
        }
        self._markers: dict[tuple[str, datetime], Marker] = {}
        self._damaged: set[str] = set()
        self._seen: dict[tuple[str, datetime], str] = {}
        self.faults: list[Fault] = []

    async def part(self, part: Part, folder: Path) -> None:
        """Check one part."""
        try:
            path = await self._objects.local(part.name, folder)
            if await asyncio.to_thread(describe_part, path, part.name, part.table) != part:
                self._fault(part, "its digest is not that of the manifest")
            elif part.table == tables.MARKERS:
                frame = await asyncio.to_thread(pl.read_parquet, path, hive_partitioning=False)
                self._check_markers(part, tables.markers_of(frame))
            elif part.table in self._series:
                await self._check_rows(part, path, self._series[part.table])
        except (Malformed, OSError, pl.exceptions.PolarsError) as exc:
            self._fault(part, f"it can't be read: {str(exc).splitlines()[0]}")

    def ends(self) -> None:
        """Name the snapshots of the manifest that no sound part has."""
        for name in self._series:
            parts = {part for part in self._damaged if part.startswith(f"{name}/")}
            missing = [key for key in self._sealed if key[0] == name and key not in self._seen]
            if missing and not parts:
                self.faults.append(Fault(name, f"no part has {_named(tick for _, tick in missing)}"))

    def _check_markers(self, part: Part, markers: Sequence[Marker]) -> None:
        twice = [marker.tick for marker in markers if (marker.series, marker.tick) in self._markers]
        if twice:
            self._fault(part, f"another part has the markers of {_named(twice)} too")
        self._markers |= {(marker.series, marker.tick): marker for marker in markers}

    async def _check_rows(self, part: Part, path: Path, series: Series) -> None:
        sources = {tick: marker.source for (name, tick), marker in self._markers.items() if name == series.name}
        hashes = await asyncio.to_thread(hash_part, path, series, sources)
        keys = {tick: (series.name, tick) for tick in hashes}
        if twice := [tick for tick, key in keys.items() if key in self._seen]:
            self._fault(part, f"{_named(twice)} is in {self._seen[keys[twice[0]]]} too")
        wrong = [tick for tick, found in hashes.items() if tick in sources and self._differs(keys[tick], found)]
        if wrong:
            self._fault(part, f"the content of {_named(wrong)} is not that of its marker")
        self._seen |= dict.fromkeys(keys.values(), part.name)

    def _differs(self, key: tuple[str, datetime], found: tuple[int, str]) -> bool:
        sealed, marker = self._sealed.get(key), self._markers[key]
        return sealed is not None and (found != (sealed.rows, sealed.hash) or marker.hash not in ("", found[1]))

    def _fault(self, part: Part, what: str) -> None:
        self._damaged.add(part.name)
        self.faults.append(Fault(part.name, what))


async def verify_months(objects: Objects) -> AsyncIterator[tuple[str, list[Fault]]]:
    """Check each sealed month, such as `2026-11`, oldest first."""
    for name in await objects.names(MANIFESTS):
        yield name.rpartition("=")[2].removesuffix(".json"), await _faults_of_month(objects, name)


async def _faults_of_month(objects: Objects, name: str) -> list[Fault]:
    try:
        month = await read_month(objects, name)
    except Malformed as exc:
        return [Fault(name, str(exc))]
    with objects.copies() as folder:
        parts = [part for part in month.parts if await sound_part(objects, part, folder) is None]
    return [Fault(part.name, "it is not what was sealed, or is missing") for part in parts]


async def delete_month(objects: Objects, month: str) -> None:
    """Delete a damaged month, its manifest last: a damaged part without one would be adopted.

    The archiver seals it again from its days.
    """
    names = [name for name in await objects.names(FOLDER.rstrip("/")) if f"month={month}" in name]
    for name in sorted(names, key=lambda name: name.startswith(MANIFESTS)):
        await objects.delete(name)


def _named(ticks: Iterable[datetime]) -> str:
    each = sorted(ticks)
    more = f" and {len(each) - MOST_NAMED} more" if len(each) > MOST_NAMED else ""
    return ", ".join(isoformat(tick) for tick in each[:MOST_NAMED]) + more
