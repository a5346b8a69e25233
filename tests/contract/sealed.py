"""The archive as a store: what is written is sealed, and every question is answered from sealed days."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from obstore.store import MemoryStore as ObjectsInMemory

from lib.archive.objects.cloud import Cloud
from lib.archive.reader import ArchiveReader
from lib.archive.seal import Sealer
from lib.archive.sealed_store import SealedStore
from lib.schema import OWN, Series
from lib.store import Store
from lib.store.sqlite import SqliteStore
from tests.contract.snapshots import CAP

EVER = datetime(1971, 1, 1, tzinfo=UTC)
FOREVER = datetime(2100, 1, 1, tzinfo=UTC)
SERIES: tuple[Series, ...] = (*OWN.values(), CAP)


class SealsAtOnce:
    """Writes go into a hot store. Before each question all that is new is sealed; then the archive answers."""

    def __init__(self, folder: Path, objects: ObjectsInMemory, clock: Callable[[], datetime]) -> None:
        self._hot: Store = SqliteStore(folder / "topcoins.db", clock=clock)
        self._objects = Cloud(objects, shown="memory", making=folder / "making")
        self._clock = clock
        self.write, self.withdraw, self.undo_withdrawal = self._hot.write, self._hot.withdraw, self._hot.undo_withdrawal
        self.horizon, self.ready, self.close = self._hot.horizon, self._hot.ready, self._hot.close

    def __getattr__(self, name: str) -> Any:
        if name in ("rows", "newest_tick"):  # the archive has no own ones
            return partial(getattr(Store, name), self)

        async def ask(*args: object, **more: object) -> object:
            await self._seal()
            archive = SealedStore(ArchiveReader(self._objects, clock=self._clock))
            more.pop("resolution", None) if name == "history" else None
            return await getattr(archive, name)(*args, **more)

        return ask

    async def _seal(self) -> None:
        days = {marker.tick.date() for marker in await self._hot.markers(EVER, FOREVER)}
        for day in sorted(days):
            await Sealer(self._hot, self._objects, SERIES, clock=self._clock).seal(day)
