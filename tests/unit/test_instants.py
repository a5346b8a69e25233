"""The instant a caller means: every documented form, and a plain refusal of everything else."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.instants import EXAMPLE, FORMS, first_step, parse_instant

NOW = datetime(2026, 11, 17, 14, 37, 0, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, 23, 59, 54, tzinfo=UTC)

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=OFFSETS)
NEARLY = st.from_regex(
    r"\A(now-?)?[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz+\- ]([0-9]{2}:[0-9]{2})?)?)?\Z"
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text("0123456789-+:.TZtz nowsmhd", max_size=40),
    NEARLY,
    st.from_regex(r"\Anow-[0-9.]{1,20}[smhdw]\Z"),
    st.from_regex(r"\A[0-9]{9,14}(\.[0-9]{1,7})?\Z"),
)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


DOCUMENTED = [
    ("2026-11-17T14:36:00Z", at(2026, 11, 17, 14, 36)),
    ("2026-11-17t14:36:00z", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T15:36:00+01:00", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T09:06:00-05:30", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T14:36:00-00:00", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T00:30:00+23:59", at(2026, 11, 16, 0, 31)),
    ("2026-11-17T14:36:00", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T14:36", at(2026, 11, 17, 14, 36)),
    ("2026-11-17 14:36", at(2026, 11, 17, 14, 36)),
    ("2026-11-17T14:36:00.25Z", at(2026, 11, 17, 14, 36, 0, 250_000)),
    ("2026-11-17T14:36:00.123456789Z", at(2026, 11, 17, 14, 36, 0, 123_456)),
    ("2026-11-17", at(2026, 11, 17)),
    ("2024-02-29", at(2024, 2, 29)),
    ("2024-02-29T23:59:59Z", at(2024, 2, 29, 23, 59, 59)),
    ("2024-03-01T00:30:00+01:00", at(2024, 2, 29, 23, 30)),
    ("0001-01-01", at(1, 1, 1)),
    ("0001-01-01T00:00:00Z", at(1, 1, 1)),
    ("1794926160", at(2026, 11, 17, 14, 36)),
    ("1794926160.5", at(2026, 11, 17, 14, 36, 0, 500_000)),
    ("now", NOW),
    ("now-90m", at(2026, 11, 17, 13, 7)),
    ("now-1h30m", at(2026, 11, 17, 13, 7)),
    ("now - 1 hour 30 min", at(2026, 11, 17, 13, 7)),
    (" now\u221290m ", at(2026, 11, 17, 13, 7)),
    ("2026-11-17T14:36 Z", at(2026, 11, 17, 14, 36)),
    ("2026-11-17 15:36 +01:00", at(2026, 11, 17, 14, 36)),
    (" 2026-11-17\n", at(2026, 11, 17)),
    ("now-0.5h", at(2026, 11, 17, 14, 7)),
    ("now-30d", at(2026, 10, 18, 14, 37)),
]


def test_every_documented_form_is_understood_as_utc(subtests) -> None:
    for text, meant in DOCUMENTED:
        with subtests.test(text=text):
            parsed = parse_instant(text, NOW)
            assert parsed == meant
            assert parsed.utcoffset() == timedelta()


@pytest.mark.parametrize("text", ["2026-11-17T15:36:00 01:00", "2026-11-17 15:36 01:00"])
def test_a_plus_that_arrived_as_a_space_is_a_plus(text: str) -> None:
    assert parse_instant(text, NOW) == at(2026, 11, 17, 14, 36)


def test_the_examples_of_the_error_text_are_understood() -> None:
    examples = re.split(r", | or ", FORMS.removeprefix("write for example "))
    assert examples[0] == EXAMPLE
    assert {parse_instant(text, at(2026, 11, 17, 14, 37)) for text in examples[:2] + examples[3:4]} == {NOW}
    assert all(parse_instant(text, NOW) <= NOW for text in examples)


def test_milliseconds_are_named_as_such() -> None:
    with pytest.raises(ValueError, match="looks like milliseconds; epoch seconds have 10 digits"):
        parse_instant("1794926160000", NOW)


NO_INSTANTS = [
        "", " ", "now-", "now+5m", "now-5", "now-m", "now--5m", "now-  5m", "-5m", "5m", "12:00",
        "2026", "2026-11", "2026-1-7", "20261117", "17.11.2026", "2026-11-17T", "2026-11-17T14", "2026-11-17T14:36:",
        "2026-11-17T14:36:00.Z", "2026-11-17T14:36:00.1234567890Z", "2026-11-17T14:36:00ZZ", "2026-11-17T14:36 ZZ",
        "2026-11-17T14:36:00+0100", "2026-11-17T14:36:00+1:00", "2026-11-17T14:36:00+24:00", "2026-11-17T14:36+05:60",
        "2026-11-17T14:36\n:00Z", "2026-11-17.", "2026-W47-2", "2026-321", "0", "17949261", "1e9", "1794926160.", "nan",
        "\u0662\u0660\u0662\u0666-11-17", "\uff12\uff10\uff12\uff16-11-17", "now-\u0665m",
    ]  # fmt: skip


def test_what_is_no_instant_is_refused_with_a_valid_example(subtests) -> None:
    for text in NO_INSTANTS:
        with subtests.test(text=text), pytest.raises(ValueError, match="write for example"):
            parse_instant(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-29", "2026-00-10", "2026-13-01", "2026-04-31", "2026-01-00", "0000-01-01", "2026-11-16T24:00:00Z",
        "2026-11-16T24:00", "2026-11-16T25:00", "2026-11-16T23:60", "2026-11-16T23:59:60Z",
    ],
)  # fmt: skip
def test_what_no_calendar_and_no_clock_shows_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no instant.* write for example"):
        parse_instant(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "now-999999d"])
def test_what_lies_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is outside the calendar; write for example"):
        parse_instant(text, NOW)


@pytest.mark.parametrize("text", ["2026-11-17T14:37:06Z", "2026-11-18", "9999-12-31T23:59:59Z", "9999999999"])
def test_an_instant_in_the_future_is_refused_with_the_current_time(text: str) -> None:
    with pytest.raises(ValueError, match="is in the future: it is 2026-11-17T14:37:00Z here"):
        parse_instant(text, NOW)


def test_a_caller_with_a_clock_five_seconds_ahead_is_answered() -> None:
    assert parse_instant("2026-11-17T14:37:05Z", NOW) == NOW + timedelta(seconds=5)
    with pytest.raises(ValueError, match="in the future"):
        parse_instant("2026-11-17T14:37:05.000001Z", NOW)


@given(INSTANTS, st.sampled_from(["T", "t", " "]))
def test_any_instant_printed_with_any_offset_reads_back_as_itself(instant: datetime, between: str) -> None:
    assert parse_instant(instant.isoformat(between), END_OF_TIME) == instant
    assert parse_instant(instant.isoformat(between).replace("+", " "), END_OF_TIME) == instant
    zulu = instant.astimezone(UTC)
    assert parse_instant(f"{zulu.replace(tzinfo=None).isoformat(between)}Z", END_OF_TIME) == instant


@given(st.integers(10**9, 10**10 - 1))
def test_any_epoch_second_of_ten_digits_is_that_second(seconds: int) -> None:
    assert parse_instant(str(seconds), END_OF_TIME).timestamp() == seconds


@given(st.timedeltas(timedelta(), timedelta(days=3650)).map(lambda span: span // timedelta(seconds=1)))
def test_now_minus_any_seconds_is_that_long_ago(seconds: int) -> None:
    assert parse_instant(f"now-{seconds}s", NOW) == NOW - timedelta(seconds=seconds)


@given(TEXTS)
def test_any_text_is_a_utc_instant_not_in_the_future_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parsed = parse_instant(text, NOW)
        assert parsed.utcoffset() == timedelta()
        assert parsed <= NOW + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("now-2h", "13:00:00"), ("now", "13:00:00"), (None, "13:00:00"), ("2026-11-17T13:11:32Z", "13:11:32")],
)
def test_steps_begin_at_from_and_a_from_that_depends_on_the_clock_is_floored(text, expected):
    """PE-30."""
    start = datetime(2026, 11, 17, 13, 11, 32, tzinfo=UTC)
    assert f"{first_step(start, text, timedelta(hours=1)):%H:%M:%S}" == expected
