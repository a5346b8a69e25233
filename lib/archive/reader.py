"""Reads sealed days, by their manifests only. What is in memory is bounded: a few hundred bytes for a day."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
from cachetools import LRUCache

from lib.archive import tables
from lib.archive.manifest import FOLDER, manifest_name, read_manifest
from lib.archive.objects import Objects
from lib.archive.tables import TICK, Withdrawal
from lib.clock import MINUTE, Clock
from lib.errors import StoreMalformed
from lib.store import Resolution

FRESH = MINUTE
"""What was added to a sealed day is seen after so long."""
MOST_DAYS = 4096


@dataclass(frozen=True, slots=True)
class SealedDay:
    """What a reader needs of a manifest: the parts of each table, and which ticks the day has."""

    day: date
    number: int
    spacing: Resolution
    parts: Mapping[str, tuple[str, ...]]

    def names(self, table: str) -> tuple[str, ...]:
        """The parts of a table."""
        return self.parts.get(table, ())


class ArchiveReader:
    """Reads the tables of an archive. Raises StoreUnavailable while it is away, StoreMalformed for a damaged part."""

    def __init__(self, objects: Objects, *, clock: Clock) -> None:
        self._objects = objects
        self.clock = clock
        self._days: dict[date, int] = {}
        self._newest_name = ""
        self._listed_at: datetime | None = None
        self._sealed: LRUCache[date, tuple[datetime, SealedDay]] = LRUCache(MOST_DAYS)

    async def days(self) -> Sequence[date]:
        """The sealed days, oldest first. Lists only what is new, at most once a minute."""
        now = self.clock()
        if self._listed_at is None or not timedelta() <= now - self._listed_at < FRESH:
            for name in await self._objects.names(FOLDER, after=self._newest_name):
                _, folder, file = name.split("/")
                day = date.fromisoformat(folder.removeprefix("date="))
                self._days[day] = int(file.removesuffix(".json"))
                self._newest_name = max(self._newest_name, name)
            self._days = dict(sorted(self._days.items()))
            self._listed_at = now
        return list(self._days)

    async def day(self, day: date) -> SealedDay | None:
        """The manifest in force of a day; None if it is not sealed."""
        now = self.clock()
        known = self._sealed.get(day)
        if known and timedelta() <= now - known[0] < FRESH:
            return known[1]
        names = await self._objects.names(f"{FOLDER}/date={day}")
        if not names:
            return None
        if known is None or names[-1] != manifest_name(day, known[1].number):
            manifest = await read_manifest(self._objects, names[-1])
            full = [part for part in manifest.parts if part.rows]
            parts = {table: tuple(p.name for p in full if p.table == table) for table in {part.table for part in full}}
            known = now, SealedDay(day, manifest.number, manifest.spacing, parts)
        self._sealed[day] = now, known[1]
        return known[1]

    async def read(
        self,
        table: str,
        days: Iterable[date],
        columns: Mapping[str, Any],
        where: pl.Expr,
        select: Collection[str] | None = None,
    ) -> pl.DataFrame:
        """The rows of a table on some days, in the order of the parts. A column that a part lacks is null."""
        sealed = [each for each in await asyncio.gather(*map(self.day, days)) if each]
        names = [name for each in sealed for name in each.names(table)]
        wanted = list(columns if select is None else select)
        if not names:
            return pl.DataFrame(schema={name: columns[name] for name in wanted})
        try:
            return await asyncio.to_thread(self._collect, names, dict(columns), where, wanted)
        except (pl.exceptions.PolarsError, OSError) as exc:
            await self._objects.names(f"{table}/date={sealed[0].day}")  # if it is away, this raises StoreUnavailable
            why = str(exc).partition("\n")[0][:200]
            raise StoreMalformed(f"archive {self._objects.shown}: {', '.join(names[:3])}: {why}") from exc

    async def withdrawals(self, days: Iterable[date]) -> dict[tuple[str, datetime], list[Withdrawal]]:
        """The withdrawals of some days, by series and tick."""
        frame = await self.read(tables.WITHDRAWALS, days, tables.WITHDRAWAL_COLUMNS, pl.lit(True))
        changes: dict[tuple[str, datetime], list[Withdrawal]] = {}
        for change in tables.withdrawals_of(frame):
            changes.setdefault((change.series, change.tick), []).append(change)
        return changes

    def _collect(
        self, names: Sequence[str], columns: Mapping[str, Any], where: pl.Expr, wanted: Sequence[str]
    ) -> pl.DataFrame:
        return self._objects.scan(names, columns).filter(where).select(wanted).collect()


def between(start: datetime, stop: datetime) -> pl.Expr:
    """The rows with start <= tick <= stop."""
    return pl.col(TICK).is_between(pl.lit(start, tables.TIME), pl.lit(stop, tables.TIME))
