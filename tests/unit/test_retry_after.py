"""Retry-After: seconds or a date, never more than a day, and no text breaks the one who reads it."""

from datetime import timedelta

import pytest

from lib.retry_after import LONGEST, parse_retry_after
from tests.fakes import NOON


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("000000000090", 90),
        ("86401", 86400),
        ("9" * 5000, 86400),
        ("Sat, 01 Aug 2026 12:01:30 GMT", 90),
        ("Sat, 01 Aug 2026 14:01:30 +0200", 90),
        ("Sat Aug  1 12:01:30 2026", 90),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86400),
    ],
)
def test_seconds_and_dates_are_a_wait_of_at_most_a_day(value, seconds):
    assert parse_retry_after(value, NOON) == timedelta(seconds=seconds) <= LONGEST


@pytest.mark.parametrize(
    "value", [None, "", "soon", "-5", "1.5", "٣", "Sat, 99 Aug 2026 12:00:00 GMT", "Sat, 01 Aug 2026 12:00:00 +9999999"]
)
def test_what_cannot_be_read_is_no_wait(value):
    assert parse_retry_after(value, NOON) is None
