"""The values of a record, each read as its column needs it. Nothing is guessed."""

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from lib import schema
from lib.clock import from_epoch
from lib.text import clean_name, is_digits

LARGEST_INT64 = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,10})?")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_TIME = re.compile(rf"{_DATE}(?:[Tt ]{_CLOCK}(?:[Zz]|[+-][0-9]{{2}}:[0-9]{{2}})?)?")


def read_id(value: Any) -> int | None:
    """A whole number, also as text; None for anything else. The gate judges its range."""
    if isinstance(value, str) and is_digits(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_INT64:
        return value
    return None


def read_text(value: Any) -> str | None:
    """Text without control characters or space around it; None when nothing remains.

    One character beyond the longest that the gate accepts is enough for it to refuse the text.
    """
    if not isinstance(value, str):
        return None
    return clean_name(value[: 4 * schema.LONGEST_TEXT])[: schema.LONGEST_TEXT + 1] or None


def read_number(value: Any) -> float | None:
    """A number, also as text. None where there is no value; NaN, which the gate rejects, for what is not a number."""
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _as_float(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else math.nan


def read_time(value: Any) -> float | None:
    """Epoch seconds, from a number or an RFC 3339 time; without an offset it is UTC. NaN for what is neither."""
    return _epoch(value) if isinstance(value, str) and _TIME.fullmatch(value) else read_number(value)


def read_datetime(value: Any) -> datetime | None:
    """The instant that `read_time` reads; None for anything else, and beyond what a datetime can hold."""
    seconds = read_time(value)
    try:
        return None if seconds is None else from_epoch(seconds)
    except (OverflowError, ValueError, OSError):
        return None


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@lru_cache(maxsize=1024)  # the records of a list share a few times
def _epoch(value: str) -> float:
    try:
        at = datetime.fromisoformat(value.upper())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan
