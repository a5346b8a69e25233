"""The times in HTTP headers: `Retry-After` in each of its forms, and dates."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(days=1)
"""No wait is longer: a server that names more is asked again the next day."""

_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*(?:,\s+.*)?")


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait that a `Retry-After` header names: seconds, a fraction of them, or an HTTP date.

    Of several headers, which the client joins by a comma, the first counts.
    Between zero and `LONGEST`; None where the header is absent or unreadable.
    """
    text = (value or "").strip()
    if seconds := _SECONDS.fullmatch(text):
        return timedelta(seconds=min(float(seconds[1]), LONGEST.total_seconds()))
    at = parse_http_date(text)
    return None if at is None else min(max(at - now, timedelta()), LONGEST)


def parse_http_date(value: str | None) -> datetime | None:
    """The instant of an HTTP date; None where it is absent or unreadable."""
    try:
        at = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError, TypeError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # HTTP's older forms name no zone
