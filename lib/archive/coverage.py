"""Which instants the archive answers for, and which the hot store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from lib.archive.manifest import start_of
from lib.archive.reader import ArchiveReader
from lib.clock import DAY, EPOCH, SECOND, near_runs, slot
from lib.schema import OWN
from lib.store import Resolution, Store

_NEVER = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The unbroken run of sealed days that ends with the newest.

    It begins at `first`, has minutes from `minutes` on, and ends at `until`. `hot_first` is the hot store's first tick.
    """

    first: datetime
    minutes: datetime
    until: datetime
    hot_first: datetime | None
    is_unknown: bool = False

    @staticmethod
    def unknown() -> "Coverage":
        """Before the archive has answered: all that the hot store is not sure to have may be in it."""
        return Coverage(EPOCH, EPOCH, _NEVER, EPOCH, is_unknown=True)

    def span(self, hot_horizon: datetime, resolution: Resolution | None) -> tuple[datetime, datetime]:
        """From when to before when the archive answers. Both are midnights.

        Minutes come from the hot store where it is sure to have them all. It has the hours of all its time.
        """
        start = self.hot_first or _NEVER
        if resolution != "1h":
            start = max(start, hot_horizon)
        return self.first, max(self.first, min(self.until, _next_midnight(start)))

    def horizon(self, hot_horizon: datetime) -> datetime:
        """All ticks after this instant are kept, unless the hot store deleted some before the archive begins."""
        if self.is_unknown:
            return EPOCH
        if self.first >= self.until:
            return hot_horizon
        deleted_after_it = self.hot_first is not None and self.hot_first < hot_horizon and self.until < hot_horizon
        return hot_horizon if deleted_after_it else min(hot_horizon, self.minutes)


async def read_coverage(hot: Store, reader: ArchiveReader) -> Coverage:
    """Ask the archive for its days, and the hot store for its first tick."""
    days = await reader.days()
    firsts = [marker.tick for name in OWN if (marker := await hot.first(name))]
    hot_first = min(firsts, default=None)
    if not days:
        return Coverage(EPOCH, EPOCH, EPOCH, hot_first)
    run = near_runs(days, DAY)[-1]
    minutes = await _first_with_minutes(reader, run)
    return Coverage(start_of(run[0]), minutes, start_of(run[-1]) + DAY, hot_first)


async def _first_with_minutes(reader: ArchiveReader, run: Sequence[date]) -> datetime:
    """The first day that was sealed with its minutes: those before have only hours. Found by bisecting."""
    low, high = 0, len(run)
    while low < high:
        middle = (low + high) // 2
        sealed = await reader.day(run[middle])
        if sealed and sealed.spacing == "1m":
            high = middle
        else:
            low = middle + 1
    return start_of(run[low]) if low < len(run) else start_of(run[-1]) + DAY


def _next_midnight(at: datetime) -> datetime:
    return slot(at + DAY - SECOND, DAY) if at < _NEVER else at
