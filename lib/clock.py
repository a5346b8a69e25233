"""Time as an argument: everything that needs the present takes a `Clock`."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HOUR_S = HOUR // SECOND

Clock = Callable[[], datetime]
"""Returns the present as an aware UTC datetime."""
T = TypeVar("T", datetime, date)


def utc_now() -> datetime:
    """The present, from the machine's clock."""
    return datetime.now(UTC)


def slot(at: datetime, interval: timedelta) -> datetime:
    """The tick that `at` belongs to: the newest multiple of `interval` since the epoch that is not after `at`."""
    return EPOCH + (at - EPOCH) // interval * interval


def next_month(now: datetime) -> datetime:
    """The begin of the next calendar month, in UTC."""
    now = now.astimezone(UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


def near_runs(instants: Iterable[T], apart: timedelta) -> list[list[T]]:
    """Ascending instants or days, split where two that follow each other are more than this `apart`."""
    runs: list[list[T]] = []
    for at in instants:
        if runs and at - runs[-1][-1] <= apart:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def from_epoch(seconds: float) -> datetime:
    """The UTC datetime of an epoch second."""
    return datetime.fromtimestamp(seconds, UTC)


def isoformat(at: datetime) -> str:
    """RFC 3339 in UTC with a `Z`, without a fraction when there is none."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
