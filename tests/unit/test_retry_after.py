"""`Retry-After` and HTTP dates: every form, and values that no server should send."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.retry_after import LONGEST, parse_http_date, parse_retry_after
from tests.fakes import NOON


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("90", 90), (" 90 ", 90), ("11.5", 11.5), ("3.", 3), ("7, 8", 7),
        ("7, Sat, 01 Aug 2026 12:01:30 GMT", 7),
        ("Sat, 01 Aug 2026 12:01:30 GMT, 5", 90), ("000000000090", 90),
        ("Sat Aug  1 12:01:30 2026", 90),
        ("Sat, 01 Aug 2026 12:01:30 GMT", 90),
        ("Saturday, 01-Aug-26 12:01:30 GMT", 90),
        ("Sat, 01 Aug 2026 14:01:30 +0200", 90),
        ("Sat, 01 Aug 2026 11:59:00 GMT", 0),
    ],
)  # fmt: skip
def test_each_form_names_a_wait(value, seconds):
    assert parse_retry_after(value, NOON) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    ["9" * 12, "9" * 5000, f"1{'0' * 400}.5", "Fri, 31 Dec 9999 23:59:59 GMT",
     "Fri, 31 Dec 9999 23:59:59 -2359", "Sun, 02 Aug 2026 12:00:01 GMT"],
)  # fmt: skip
def test_no_wait_is_longer_than_a_day(value):
    assert parse_retry_after(value, NOON) == LONGEST


@pytest.mark.parametrize(
    "value",
    [
        None, "", "soon", "-5", "-9" * 3000, "1e3", "1_0", "٣", "\uff11\uff12", "inf", "nan", "1,5", "0x10", "60 s",
        "Sat, 01 Aug 2026 12:00:00 +9999999", "Sat, 99 Aug 2026 12:00:00 GMT",
        "Sat, 01 Aug 99999999 12:00:00 GMT", "2026-08-01T12:01:30Z",
    ],
)  # fmt: skip
def test_an_unreadable_value_names_no_wait(value):
    assert parse_retry_after(value, NOON) is None


@given(
    st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} (Jan|Dec) \d{1,6} \d\d:\d\d:\d\d ([+-]\d{4,6}|GMT)", fullmatch=True)
)
@settings(deadline=None)
def test_any_text_is_a_bounded_wait_or_none(value):
    wait = parse_retry_after(value, NOON)
    assert wait is None or timedelta() <= wait <= LONGEST


def test_a_date_without_a_zone_is_utc():
    assert parse_http_date("Sat, 01 Aug 2026 12:01:30 -0000") == datetime(2026, 8, 1, 12, 1, 30, tzinfo=UTC)
