"""The first tick of each series. Asked for at most once a minute: only a backfill or the retention changes it."""

from dataclasses import dataclass, field
from datetime import datetime

from lib.clock import MINUTE
from lib.store import Store


@dataclass(frozen=True, slots=True)
class FirstTicks:
    """Reads the first ticks of one store."""

    store: Store
    _read: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """When each series' tick was read, and the tick."""

    async def of(self, series: str, now: datetime) -> datetime | None:
        """The first tick as of now, or of up to a minute ago."""
        read_at, first = self._read.get(series, (None, None))
        if read_at is None or not read_at <= now < read_at + MINUTE:
            marker = await self.store.first(series)
            first = marker.tick if marker else None
            if first:
                self._read[series] = now, first
        return first
