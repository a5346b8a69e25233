"""The Retry-After header, in all the forms that servers send."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LONGEST = timedelta(days=1)


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait asked for, between 0 and a day; None where there is no such header or it cannot be read."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return LONGEST if len(digits) > 6 else min(timedelta(seconds=int(digits or "0")), LONGEST)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)  # HTTP's older forms name no zone
        # Subtracting needs no conversion to UTC, which ends at the year 9999.
        return min(max(at - now, timedelta()), LONGEST)
    except (ValueError, TypeError, OverflowError):
        return None
