"""The archiver: seals each closed day soon after its end, and adds to sealed days what came later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import structlog

from lib.archive.delta import DeltaLog, columns_by_table
from lib.archive.manifest import Manifest, sealed_days, start_of
from lib.archive.objects import Objects
from lib.archive.seal import Gaps, Sealer
from lib.archive.seal_month import MonthSealer
from lib.clock import DAY, SECOND, Clock
from lib.errors import StoreMalformed, TopcoinsError
from lib.gaps import missing_ticks
from lib.schema import Series
from lib.store import Store

log = structlog.get_logger()

EVERY = timedelta(minutes=10)
CLOSED_AFTER = timedelta(minutes=5)
"""A day is closed so long after its end: its last snapshots are in the store by then."""
LATE = timedelta(hours=3)
"""A day that is not sealed so long after its end is a fault that a person should look at."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the archive is: the newest day of an unbroken run, and the closed days that are not sealed."""

    sealed: int
    newest: date | None
    unsealed: Sequence[date]

    def is_late(self, now: datetime) -> bool:
        """Whether a closed day has waited too long."""
        return any(now >= start_of(day) + DAY + LATE for day in self.unsealed)


class Archiver:
    """Keeps an archive up to date with a store."""

    def __init__(self, store: Store, objects: Objects, series: Sequence[Series], *, clock: Clock, spools: Path) -> None:
        self._store = store
        self._objects = objects
        self._series = series
        self._clock = clock
        self._spools = spools
        self._sealer = Sealer(store, objects, series, clock=clock)
        self._months = MonthSealer(objects, series)
        self._logs = [DeltaLog(objects, table, columns) for table, columns in columns_by_table(series).items()]
        self._followed: dict[date, int] = {}
        self._looked_back: date | None = None
        self._failures = 0

    async def run(self, slot: datetime) -> None:
        """Seal what can be sealed. An outage is logged when it starts and when it ends; the next slot tries again."""
        try:
            await self.catch_up()
        except TopcoinsError as exc:
            if not self._failures:
                log.error("the archive can't be brought up to date", why=str(exc))
            self._failures += 1
        else:
            if self._failures:
                log.info("the archive is up to date again", failed_runs=self._failures)
            self._failures = 0

    async def catch_up(self) -> list[date]:
        """Seal the closed days that are not sealed, add to the others what came late, then seal the closed months.

        Returns the days of the first kind. Days whose minutes were deleted rarely get additions: they are looked at
        once a day. A damaged day does not stop the others; its StoreMalformed is raised at the end.
        """
        sealed = await sealed_days(self._objects)
        today = self._clock().date()
        horizon = self._store.horizon() if self._looked_back == today else start_of(date(1970, 1, 2))
        added: list[date] = []
        damaged: list[StoreMalformed] = []
        for day in await closed_days(self._store, self._series, self._clock()):
            try:
                if day not in sealed:
                    await self._follow(await self._sealer.seal(day, await self._gaps(day)))
                    added.append(day)
                elif start_of(day) + DAY > horizon:
                    await self._follow(await self._sealer.seal(day))
            except StoreMalformed as exc:
                damaged.append(exc)
        self._looked_back = today
        await self._months.catch_up([*sealed, *added], today)
        if damaged:
            raise damaged[0]
        return added

    async def _follow(self, manifest: Manifest) -> None:
        """What follows from a manifest: the Delta logs, and what the store may delete."""
        if self._followed.get(manifest.day) == manifest.number:
            return
        for table in self._logs:
            await table.add(manifest)
        for name, snapshots in manifest.snapshots.items():
            await self._store.mark_sealed(name, {each.tick: each.hash for each in snapshots})
        self._followed[manifest.day] = manifest.number

    async def _gaps(self, day: date) -> Gaps:
        start = start_of(day)
        gaps = []
        for series in self._series:
            missing = await missing_ticks(
                self._store, series.name, start, start + DAY - SECOND, now=self._clock(),
                folder=self._spools / series.name,
            )  # fmt: skip
            gaps += [(series.name, miss) for miss in missing if miss.cause != "withdrawn"]
        return gaps


async def closed_days(store: Store, series: Sequence[Series], now: datetime) -> list[date]:
    """Every day from the store's first snapshot to the last one that is closed, oldest first."""
    return await stored_days(store, series, (now - CLOSED_AFTER).date() - DAY)


async def stored_days(store: Store, series: Sequence[Series], last: date) -> list[date]:
    """Every day from the store's first snapshot to the last, oldest first."""
    firsts = [marker.tick.date() for each in series if (marker := await store.first(each.name))]
    return [min(firsts) + n * DAY for n in range((last - min(firsts)).days + 1)] if firsts else []


async def read_progress(store: Store, objects: Objects, series: Sequence[Series], now: datetime) -> Progress:
    """How far the archive is."""
    sealed = await sealed_days(objects)
    unsealed = [day for day in await closed_days(store, series, now) if day not in sealed]
    before = [day for day in sealed if not unsealed or day < unsealed[0]]
    return Progress(len(sealed), max(before, default=None), unsealed)
