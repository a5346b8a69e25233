"""What one fetch of a list brought."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from lib.clock import from_epoch
from lib.schema import Series

UPDATED_AT = "updated_at"
LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""No instant is later: a datetime could not hold it."""


@dataclass(frozen=True, slots=True)
class UpstreamTime:
    """The upstream's clock when it answered, as far as its answers show it: not before one, not after the other.

    HTTP `Date` and `Date` plus `Age` of all pages; without `Date` the timestamp of the body, where there is one.
    """

    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """Raw rows, which the gate has yet to judge, and the records that gave no row, counted by reason."""

    source: str
    series: Series
    rows: pl.DataFrame
    records: int
    rejected: Mapping[str, int]
    credits: float
    observed_at: datetime
    duration: timedelta
    upstream_time: UpstreamTime | None = None
    asked: int = 0
    announced: int | None = None

    @property
    def missing(self) -> int:
        """How many records should have come and did not: of those asked for, or of a smaller announced total."""
        expected = self.asked if self.announced is None else min(self.asked, self.announced)
        return max(expected - self.records, 0)

    @property
    def newest_update(self) -> datetime | None:
        """The newest `updated_at` of the rows that is an instant; None where none has one."""
        if UPDATED_AT not in self.rows.columns:
            return None
        times = self.rows[UPDATED_AT]
        newest = times.filter(times.is_between(0, LATEST, closed="left")).max()
        return from_epoch(newest) if isinstance(newest, float) else None


Identify = Callable[[Reading, int], Awaitable[Reading]]
"""Gives the rows of a list their ids, at most so many: for a source whose records have none. Asks nobody."""

PrepareIdentify = Callable[[], Awaitable[Identify]]
"""Asks for what identifying needs, before the list is asked for: nothing may delay a list that was paid for."""
