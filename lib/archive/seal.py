"""Sealing a closed UTC day: its snapshots become parts in the archive, then its manifest makes them visible.

Part names are fixed and nothing is overwritten, so an attempt may end anywhere, and the next one goes on from there.
What comes later is added as further parts with a successor of the manifest.
"""

from collections.abc import Sequence
from datetime import date

import structlog

from lib.archive import tables
from lib.archive.additions import Additions, Key, find_additions, read_withdrawals
from lib.archive.attempt import Attempt
from lib.archive.manifest import Manifest, manifest_name, newest_manifest, part_name
from lib.archive.objects import Objects, is_stored
from lib.archive.tables import Withdrawal
from lib.clock import Clock
from lib.ingest.missed import MissedTick
from lib.schema import Series
from lib.store import Store

log = structlog.get_logger()

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

    async def seal_again(self, day: date) -> Manifest:
        """Make a day's lost manifests again from the parts that are there, then add what the store has more."""
        while True:
            manifest = await newest_manifest(self._objects, day)
            number = manifest.number + 1 if manifest else 0
            tables_of_each = tables.MARKERS, tables.WITHDRAWALS  # an addition has at least one of them
            if not any([await is_stored(self._objects, part_name(table, day, number)) for table in tables_of_each]):
                return await self.seal(day)
            await self._add(day, manifest, await self._additions(day, manifest))

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
            attempt = Attempt(self._store, self._objects, day, manifest, additions, folder)
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

    async def _publish(self, attempt: Attempt) -> None:
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
