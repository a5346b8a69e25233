"""`topcoins backup`: a copy of the archive, and what the archive lacks, sealed from the store.

The folder is an archive itself. `_unsealed/` in it is another one, of the days that the archive does not have yet,
today above all. Each backup adds to them what is new. A day is deleted there once the sealed day is in the folder.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from lib.archive.additions import find_additions
from lib.archive.archiver import stored_days
from lib.archive.manifest import Manifest, Part, manifest_name, manifest_names, newest_manifest, sealed_days
from lib.archive.mend import Mender
from lib.archive.objects import Objects
from lib.archive.objects.folder import Folder
from lib.archive.parts import sound_part
from lib.archive.seal import Sealer
from lib.archive.verify import verify_day
from lib.clock import Clock
from lib.errors import DamagedFile, Malformed, SettingsRejected
from lib.schema import Series
from lib.store import Store

UNSEALED = "_unsealed"
"""The folder of a backup's days that the archive lacked."""
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Day:
    """One day of one series: its snapshots, their rows, and a checksum over their content.

    `passed` counts the snapshots of a backup that the store's retention no longer keeps: all but the first of an hour.
    """

    day: date
    series: str
    snapshots: int
    rows: int
    checksum: str
    passed: int = field(default=0, compare=False)


async def back_up(
    store: Store,
    archive: Objects | None,
    folder: Path,
    series: Sequence[Series],
    *,
    clock: Clock,
    start: date = date.min,
) -> AsyncIterator[Day]:
    """Back up every day from `start` on; yields each day of each series when it is in the folder.

    What is there already stays, unless it is damaged, so an interrupted backup resumes. A part that is damaged in the
    archive is left out; at the end DamagedFile names it.
    """
    backup, unsealed = Folder(folder), Folder(folder / UNSEALED)
    damaged: list[str] = []
    complete: set[date] = set()
    for day in await sealed_days(archive) if archive else ():
        if archive and day >= start:
            try:
                manifest, faults = await copy_day(archive, backup, day)
            except Malformed as exc:  # what the store has of the day is still backed up
                damaged.append(str(exc))
                continue
            damaged += faults
            if not await find_additions(store, archive, series, day, manifest):
                complete.add(day)
            for each in days_of(manifest):
                yield each
    sealer = Sealer(store, unsealed, series, clock=clock)
    for day in await stored_days(store, series, clock().date()):
        if day >= start and day not in complete:
            damaged += await _mend(store, unsealed, series, day, clock)
            for each in days_of(await sealer.seal(day)):
                yield each
    for day in complete.intersection(await sealed_days(unsealed)):
        await _delete_day(unsealed, day)
    report_damaged(damaged)


async def copy_day(source: Objects, target: Objects, day: date) -> tuple[Manifest, list[str]]:
    """Copy a sealed day. Returns its manifest, and which parts are damaged in both places.

    A part of the target stays if the manifest has its digest. Raises SettingsRejected if the target has snapshots of
    the day that the source lacks.
    """
    manifest = await newest_manifest(source, day)
    assert manifest, f"{day} is not sealed"
    await _refuse_other(source, target, manifest)
    damaged = [f"{source.shown}: {part.name}" for part in manifest.parts if not await _copy_part(source, target, part)]
    name, body = manifest_name(day, manifest.number), manifest.model_dump_json().encode()
    replaced = [other for other in await manifest_names(target, day) if other >= name]
    if replaced != [name] or await target.read(name) != body:
        for other in replaced:
            await target.delete(other)
        await target.create(name, body)
    return manifest, damaged


def days_of(manifest: Manifest) -> Iterator[Day]:
    """Each series of a sealed day."""
    for name, each in manifest.snapshots.items():
        if each.ticks:
            hashes = {one.tick: one.hash for one in each}
            yield Day(manifest.day, name, len(each.ticks), sum(each.rows), checksum(hashes))


def checksum(hashes: Mapping[datetime, str]) -> str:
    """A checksum over the content hashes of some ticks."""
    total = hashlib.blake2b(digest_size=16)
    for tick in sorted(hashes):
        total.update(f"{int(tick.timestamp())} {hashes[tick]}\n".encode())
    return total.hexdigest()


def report_damaged(damaged: Sequence[str]) -> None:
    """Raise DamagedFile if there are any."""
    if damaged:
        raise DamagedFile(f"{len(damaged)} files are damaged and were left out: {'; '.join(damaged[:MOST_NAMED])}")


async def _copy_part(source: Objects, target: Objects, part: Part) -> bool:
    """Copy a part that the target lacks, or has damaged. Returns False if the source has none that is sound either."""
    with target.workspace() as folder:
        if await sound_part(target, part, folder):
            return True
        path = await sound_part(source, part, folder)
        if path is None:
            return False
        made = folder / "copy.parquet"  # a link would be the same file, and rot with it
        await asyncio.to_thread(shutil.copyfile, path, made)
        await target.delete(part.name)
        return await target.create(part.name, made)


async def _mend(store: Store, unsealed: Folder, series: Sequence[Series], day: date, clock: Clock) -> list[str]:
    """Write what is damaged of an unsealed day again. Returns the parts of which the store no longer has all."""
    with suppress(Malformed):  # then the manifest is damaged
        manifest = await newest_manifest(unsealed, day)
        if all([await sound_part(unsealed, part, Path()) for part in (manifest.parts if manifest else ())]):
            return []
    verified = await verify_day(unsealed, series, day, Path())
    return await Mender(store, unsealed, series, clock=clock).mend(verified)


async def _refuse_other(source: Objects, target: Objects, manifest: Manifest) -> None:
    try:
        other = await newest_manifest(target, manifest.day)
    except Malformed:
        return  # it is damaged, and is replaced
    if other and not _snapshots(other) <= _snapshots(manifest):
        raise SettingsRejected(
            f"{target.shown} has snapshots of {manifest.day} that {source.shown} lacks; choose another folder, for"
            " example ./backup-2"
        )


def _snapshots(manifest: Manifest) -> set[tuple[str, datetime, str]]:
    return {(name, one.tick, one.hash) for name, each in manifest.snapshots.items() for one in each}


async def _delete_day(objects: Objects, day: date) -> None:
    """Delete a day, its manifests first: a day without them is none."""
    manifest = await newest_manifest(objects, day)
    for name in reversed(await manifest_names(objects, day)):
        await objects.delete(name)
    for part in manifest.parts if manifest else ():
        await objects.delete(part.name)
