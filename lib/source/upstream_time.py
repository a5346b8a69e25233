"""The upstream's clock, as its answers show it."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

import httpx

from lib.retry_after import parse_http_date
from lib.source.expression import get
from lib.source.reading import UpstreamTime
from lib.source.values import read_datetime

LARGEST_AGE = timedelta(days=1)
_SECONDS = re.compile(r"[0-9]+")


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
