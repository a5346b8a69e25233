"""Instants in words: the newest one that is meant, in UTC, or a clear refusal. Now is a Tuesday."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.instant_words import MONTHS, WEEKDAYS, parse_words
from lib.instants import is_absolute, moves, parse_instant

NOW = datetime(2026, 11, 17, 14, 37, tzinfo=UTC)
PAST = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))
CLOCKS = st.times().map(lambda at: at.replace(second=0, microsecond=0))


WORDS = [
    ("tue 14:37", "2026-11-17 14:37"),
    ("Tue 14:38", "2026-11-10 14:38"),
    ("tuesday", "2026-11-17 00:00"),
    ("last tuesday", "2026-11-10 00:00"),
    ("last Tuesday at 14:37", "2026-11-10 14:37"),
    ("wed 9:05", "2026-11-11 09:05"),
    ("yesterday", "2026-11-16 00:00"),
    ("Yesterday 09:00", "2026-11-16 09:00"),
    ("09:00 yesterday", "2026-11-16 09:00"),
    ("yesterday noon", "2026-11-16 12:00"),
    ("yesterday 12am", "2026-11-16 00:00"),
    ("yesterday 2:37 PM", "2026-11-16 14:37"),
    ("today", "2026-11-17 00:00"),
    ("today 09:00 UTC", "2026-11-17 09:00"),
    ("day before yesterday 09:00", "2026-11-15 09:00"),
    ("the day before yesterday", "2026-11-15 00:00"),
    ("on Tuesday at 2:37 p.m.", "2026-11-17 14:37"),
    ("tue. 14.37", "2026-11-17 14:37"),
    ("tue 14:37Z", "2026-11-17 14:37"),
    ("Mon, 16 Nov 2026 14:37:00 GMT", "2026-11-16 14:37"),
    ("Monday 16th November", "2026-11-16 00:00"),
    ("16. Nov. 2026", "2026-11-16 00:00"),
    ("2026/11/16 14:37", "2026-11-16 14:37"),
    ("two hours ago", "2026-11-17 12:37"),
    ("1 day and 2 hours ago", "2026-11-16 12:37"),
    ("90 min ago", "2026-11-17 13:07"),
    ("3 days ago", "2026-11-14 14:37"),
    ("an hour ago", "2026-11-17 13:37"),
    ("1h30m ago", "2026-11-17 13:07"),
    ("now - 90m", "2026-11-17 13:07"),
    ("Now-90m", "2026-11-17 13:07"),
    ("16 nov 14:37", "2026-11-16 14:37"),
    ("Nov 24, 09:00", "2025-11-24 09:00"),
    ("29 feb", "2024-02-29 00:00"),
    ("November 3 2024 9am", "2024-11-03 09:00"),
    ("2026-11-16 14:37", "2026-11-16 14:37"),
    ("2026-11-16 2:37pm", "2026-11-16 14:37"),
    ("2026-11-16 14:37 UTC", "2026-11-16 14:37"),
]


def test_words_mean_the_newest_such_instant_in_utc(subtests):
    for text, meant in WORDS:
        with subtests.test(text=text):
            parsed = parse_instant(text, NOW)
            assert (f"{parsed:%Y-%m-%d %H:%M}", parsed.utcoffset()) == (meant, timedelta())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("14:37", "names no day"),
        ("noon", "names no day"),
        ("11/12/2026", "may be day and month, or month and day"),
        ("1.11.26", "may be day and month, or month and day"),
        ("11/24/2026", "has its year last; numbers are year, month and day"),
        ("26/11/2026 14:37", "has its year last"),
        ("11/11/2026", "has its year last"),
        ("25.11.26", "has no year of four digits"),
        ("3.11.2026 14:37", "may be day and month, or month and day"),
        ("tue midnight", "may be the begin or the end of the day"),
        ("yesterday 9", "may be a.m. or p.m."),
        ("last week", "is a span, not an instant"),
        ("2 months ago", "has no fixed length"),
        ("tomorrow", "is not in the past"),
        ("next tuesday", "is not in the past"),
        ("today 15:00", "is in the future"),
        ("tue 14:37 CET", "has a time zone that is not understood"),
        ("tue 14:37 Europe/Berlin", "has a time zone that is not understood"),
        ("wed 24 nov", "is no instant: 2025-11-24 is a monday"),
        ("this tuesday", "may be the last or the next one"),
        ("yesterday morning", "is a span, not an instant"),
        ("-90 min", "is a duration: `now-90m` and `90m ago` are instants"),
        ("999999999 weeks ago", "is too long a duration"),
        ("31 february", "day is out of range for month"),
        ("31 jun 2026", "is no instant: day"),
        ("2026-02-30 9am", "is no instant: day"),
        ("a while ago", "is no instant"),
        ("bitcoin", "is no instant"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused_with_the_reason_and_an_example(text, why):
    with pytest.raises(ValueError, match="write for example") as refusal:
        parse_instant(text, NOW)
    assert why in str(refusal.value)
    assert text in str(refusal.value)


@given(PAST, st.sampled_from(WEEKDAYS), CLOCKS)
def test_a_weekday_is_one_of_the_last_seven_days(now, weekday, clock):
    parsed = parse_words(f"{weekday} {clock:%H:%M}", now)
    assert parsed is not None
    assert timedelta() <= now - parsed < timedelta(days=7)
    assert (WEEKDAYS[parsed.weekday()], parsed.time()) == (weekday, clock)
    before = parse_words(f"last {weekday[:3]} {clock:%H:%M}", now)
    assert before is not None
    assert before == parsed - timedelta(weeks=parsed.date() == now.date())


@given(PAST, st.dates(), CLOCKS)
def test_a_day_and_a_month_are_the_newest_such_date_and_read_alike_in_either_order(now, day, clock):
    month = MONTHS[day.month - 1]
    parsed = parse_words(f"{day.day} {month} {clock:%H:%M}", now)
    assert parsed == parse_words(f"{month[:3]} {day.day} {clock:%I:%M %p}", now)
    assert parsed is not None
    assert parsed <= now
    assert (parsed.month, parsed.day, parsed.time()) == (day.month, day.day, clock)


@given(PAST, st.integers(0, 9999), st.sampled_from(["minute", "hour", "day"]))
def test_so_long_ago_is_what_now_minus_that_is(now, number, unit):
    assert parse_words(f"{number} {unit}s ago", now) == parse_instant(f"now-{number}{unit[0]}", now)


@given(st.text("0123456789 :amptuewdlsyr.,-/nov", max_size=30))
def test_any_words_are_an_instant_or_a_value_error(text):
    with suppress(ValueError, OverflowError):
        parsed = parse_words(text, NOW)
        assert parsed is None or parsed.utcoffset() == timedelta()


@pytest.mark.parametrize(
    ("text", "absolute", "moving"),
    [
        ("2026-11-17T14:37:00Z", True, False),
        ("1794926220", True, False),
        ("now-90m", False, True),
        ("Now", False, True),
        ("2 hours ago", False, True),
        ("2 hours ago UTC", False, True),
        ("2 hours\tago.", False, True),
        ("yesterday 09:30", False, False),
    ],
)
def test_an_answer_for_words_is_not_cached_as_one_for_a_date_is_and_only_moving_ones_are_floored(
    text, absolute, moving
):
    assert (is_absolute(text), moves(text)) == (absolute, moving)
