"""How far the archive is. Asked at most once a minute: it changes once a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import BaseModel

from lib.archive.archiver import Progress, read_progress
from lib.archive.objects import Objects
from lib.clock import MINUTE
from lib.errors import TopcoinsError
from lib.schema import Series
from lib.store import Store


class ArchiveStatus(BaseModel):
    """The archive. `sealed_until` is the last day before which every day is sealed.

    `unsealed_days` counts the closed days that are not; `late` is true if one of them has waited for three hours.
    `up` is false while the archive can't be asked; the other values are then unknown.
    """

    up: bool
    sealed_until: date | None
    unsealed_days: int
    late: bool


@dataclass(slots=True)
class ArchiveReports:
    """Reads the status of an archive."""

    store: Store
    objects: Objects
    series: Sequence[Series]
    _progress: Progress | None = None
    _read_at: datetime | None = None

    async def current(self, now: datetime) -> ArchiveStatus:
        """The status as of now."""
        if self._read_at is None or not self._read_at <= now < self._read_at + MINUTE:
            self._read_at = now
            try:
                self._progress = await read_progress(self.store, self.objects, self.series, now)
            except TopcoinsError:
                self._progress = None
        if (progress := self._progress) is None:
            return ArchiveStatus(up=False, sealed_until=None, unsealed_days=0, late=False)
        unsealed = len(progress.unsealed)
        return ArchiveStatus(up=True, sealed_until=progress.newest, unsealed_days=unsealed, late=progress.is_late(now))
