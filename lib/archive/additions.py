"""What the store has of a day and the archive has not: snapshots that are new or late, and changes of withdrawals."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import product

import polars as pl

from lib.archive.manifest import Manifest, start_of
from lib.archive.objects import Objects
from lib.archive.parts import naming
from lib.archive.tables import (
    WITHDRAWALS,
    Withdrawal,
    by_snapshot,
    with_withdrawals,
    withdrawals_of,
    withdrawals_since,
)
from lib.clock import DAY, HOUR, SECOND, slot
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Resolution, Store

Key = tuple[str, datetime]
"""A series' name and a tick."""


@dataclass(frozen=True, slots=True)
class Additions:
    """Snapshots and withdrawals to add to a day. `hours` are the ticks that only the hourly snapshots still have."""

    markers: Sequence[Marker] = ()
    withdrawals: Sequence[Withdrawal] = ()
    hours: Collection[Key] = field(default=frozenset())

    def __bool__(self) -> bool:
        return bool(self.markers or self.withdrawals)

    def of(self, series: Series) -> list[Marker]:
        """The new markers of a series, oldest first."""
        return [marker for marker in self.markers if marker.series == series.name]

    def resolution(self, marker: Marker) -> Resolution:
        """Where the store has the rows of a marker."""
        return "1h" if (marker.series, marker.tick) in self.hours else "1m"


async def find_additions(
    store: Store, objects: Objects, series: Sequence[Series], day: date, manifest: Manifest | None
) -> Additions:
    """Compare a day of the store with its manifest."""
    names = [each.name for each in series]
    sealed = {(name, one.tick) for name, each in manifest.snapshots.items() for one in each} if manifest else set()
    if manifest and not _withdrawal_parts(manifest) and await _is_sealed(store, names, day, sealed):
        return Additions()
    minutes, hours = await _markers(store, names, day)
    changes = await read_withdrawals(objects, manifest) if manifest else {}
    withdrawals = [change for marker in (*hours, *minutes) for change in _changes_of(marker, changes)]
    return Additions(
        markers=[marker for marker in (*hours, *minutes) if (marker.series, marker.tick) not in sealed],
        withdrawals=withdrawals,
        hours=frozenset((marker.series, marker.tick) for marker in hours),
    )


async def read_withdrawals(objects: Objects, manifest: Manifest) -> dict[Key, list[Withdrawal]]:
    """The withdrawals of a sealed day, by snapshot."""
    changes: list[Withdrawal] = []
    for name in _withdrawal_parts(manifest):
        with naming(objects, name):
            changes += withdrawals_of(pl.read_parquet(await objects.read(name)))
    return by_snapshot(changes)


def _withdrawal_parts(manifest: Manifest) -> list[str]:
    """Those that have rows: most days have none."""
    return [part.name for part in manifest.parts if part.table == WITHDRAWALS and part.rows]


def _changes_of(marker: Marker, known: Mapping[Key, Sequence[Withdrawal]]) -> list[Withdrawal]:
    plain = marker.without_withdrawal()
    return [*withdrawals_since(with_withdrawals(plain, known.get((marker.series, marker.tick), ())), marker)]


async def _is_sealed(store: Store, names: Sequence[str], day: date, sealed: Collection[Key]) -> bool:
    """Whether every tick of the day is sealed, and none was ever withdrawn. Much cheaper than reading the markers."""
    start = start_of(day)
    resolutions: tuple[Resolution, ...] = ("1m",) if start >= store.horizon() else ("1m", "1h")
    for name, resolution in product(names, resolutions):
        for tick in await store.stored_ticks(name, start, start + DAY - SECOND, resolution=resolution, known=True):
            if (name, tick.tick) not in sealed or tick.withdrawn_at:
                return False
    return True


async def _markers(store: Store, names: Collection[str], day: date) -> tuple[list[Marker], list[Marker]]:
    """The day's markers of minutes, and those that only the hourly snapshots still have."""
    start = start_of(day)
    stop = start + DAY - SECOND
    minutes = [marker for marker in await store.markers(start, stop) if marker.series in names]
    if start >= store.horizon():
        return minutes, []
    seen = {(marker.series, marker.tick) for marker in minutes}
    hourly = await store.markers(start, stop, resolution="1h")
    return minutes, [m for m in hourly if m.series in names and (m.series, m.tick) not in seen]


def spacing_of(markers: Iterable[Marker], day: date, horizon: datetime) -> Resolution:
    """`1h` if minutes of the day were deleted before it was sealed: an hour has one tick where more were expected."""
    if start_of(day) >= horizon:
        return "1m"
    each: dict[Key, list[timedelta]] = {}
    for marker in markers:
        each.setdefault((marker.series, slot(marker.tick, HOUR)), []).append(marker.interval)
    return "1h" if any(len(ticks) == 1 and ticks[0] < HOUR for ticks in each.values()) else "1m"
