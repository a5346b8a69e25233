"""What one fetch of a list brought, and the upstream's clock, as its answers show it."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl

from lib.clock import from_epoch
from lib.retry_after import parse_http_date
from lib.schema import Series
from lib.source.expression import get
from lib.source.values import read_datetime

UPDATED_AT = "updated_at"
LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""No instant is later: a datetime could not hold it."""
LARGEST_AGE = timedelta(days=1)
_SECONDS = re.compile(r"[0-9]+")


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


def time_of(headers: httpx.Headers, body: Any, timestamp: str | None) -> UpstreamTime | None:
    """Between `Date` and `Date` plus `Age`: some caches rewrite `Date`. Without it, the body's `timestamp`, if any."""
    with suppress(OverflowError):  # beyond what a datetime can hold
        if date := parse_http_date(headers.get("date")):
            return UpstreamTime(date.astimezone(UTC), date.astimezone(UTC) + _age(headers))
    at = read_datetime(get(timestamp, body))
    return UpstreamTime(at, at) if at else None


def spanning(times: Iterable[UpstreamTime | None]) -> UpstreamTime | None:
    """From the earliest to the latest of several."""
    known = [each for each in times if each]
    if not known:
        return None
    return UpstreamTime(min(each.earliest for each in known), max(each.latest for each in known))


def _age(headers: httpx.Headers) -> timedelta:
    """The first `Age`: each cache on the way may add its own. One without end is as old as can be."""
    value = headers.get("age", "").partition(",")[0].strip()
    return (
        timedelta(seconds=min(float(value), LARGEST_AGE.total_seconds())) if _SECONDS.fullmatch(value) else timedelta()
    )
