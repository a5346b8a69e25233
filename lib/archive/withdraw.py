"""Withdraws ticks in the store and in the archive, which has minutes that the store has deleted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from lib.archive.objects import Objects
from lib.archive.reader import ArchiveReader
from lib.archive.seal import Sealer
from lib.archive.sealed_store import SealedStore
from lib.archive.tables import Withdrawal, withdrawals_since
from lib.clock import Clock
from lib.schema import Series
from lib.snapshot import WITHDRAWAL, Marker
from lib.store import Store


class Withdrawals:
    """Changes which ticks answer. A sealed day gets a further part of `withdrawal`."""

    def __init__(self, store: Store, objects: Objects, series: Sequence[Series], *, clock: Clock) -> None:
        self._store = store
        self._sealed = SealedStore(ArchiveReader(objects, clock=clock))
        self._sealer = Sealer(store, objects, series, clock=clock)
        self._clock = clock

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        ticks = await self._store.withdraw(series, start, stop, why=why)
        return await self._follow(series, start, stop, ticks, why)

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        return await self._follow(series, start, stop, await self._store.undo_withdrawal(series, start, stop), None)

    async def _follow(
        self, series: str, start: datetime, stop: datetime, ticks: Sequence[datetime], why: str | None
    ) -> list[datetime]:
        """The same in the archive, with the store's own times for the ticks that the store changed."""
        now, changed = self._clock(), {*ticks}
        days: dict[date, list[Withdrawal]] = {}
        for old in await self._sealed.markers(start, stop, series=series):
            if old.tick in changed:
                new = await self._as_stored(old)
            else:
                new = old.restored(now) if why is None else old.withdrawn(now, why)
            for change in withdrawals_since(old, new):
                days.setdefault(old.tick.date(), []).append(change)
                changed.add(old.tick)
        for day, changes in days.items():
            await self._sealer.add_withdrawals(day, changes)
        return sorted(changed)

    async def _as_stored(self, marker: Marker) -> Marker:
        stored = await self._store.nearest(marker.series, marker.tick)
        if stored is None or stored.tick != marker.tick:
            return marker
        return replace(marker, **{name: getattr(stored, name) for name in WITHDRAWAL})
