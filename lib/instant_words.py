"""Instants as people say them: `tue 14:37`, `yesterday`, `3 days ago`, `24 nov 09:00`. All are in UTC."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta

from lib.units import parse_duration

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_SHORT = {"tues": "tuesday", "weds": "wednesday", "thur": "thursday", "thurs": "thursday", "sept": "september"}
_NAMES = {**{name[:3]: name for name in (*WEEKDAYS, *MONTHS)}, **_SHORT, **{n: n for n in (*WEEKDAYS, *MONTHS)}}
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_VALUES = {"an": 1, "a": 1, **{name: value for value, name in enumerate(_NUMBERS, 1)}}
_DAYS_BACK = {"today": 0, "yesterday": 1, "day before yesterday": 2}

_PLAIN = (
    (r"[,\s]+", " "),
    ("[\u2212\u2013]", "-"),  # the minus sign and the dash that some programs put in its place
    (r"\b(?:on|at|the|and) ", ""),
    (r"(?<=[0-9])(?:st|nd|rd|th)\b", ""),
    (r"\b([ap])\.m\b\.?", r"\1m"),
    (r"(?<=[a-z])\.(?= |$)|\.(?= [a-z])", ""),
    (r"^([0-9]{4})/([0-9]{2})/([0-9]{2})\b", r"\1-\2-\3"),
    (r"(?: ?(?:utc|gmt)|(?<=[0-9])z)$", ""),
)
"""What is replaced before words are read: what adds nothing, and other spellings."""

_weekday = "|".join(name for name, long in _NAMES.items() if long in WEEKDAYS)
_month = "|".join(name for name, long in _NAMES.items() if long in MONTHS)
_unit = "(?:second|sec|minute|min|hour|hr|day|week|wk)s?|[smhdw]"
_number = rf"[0-9]{{1,9}}(?:\.[0-9]{{1,6}})?|{'|'.join(sorted(_VALUES, key=len, reverse=True))}"
_term = rf"(?:{_number}) ?(?:{_unit})"
LENGTH_SHAPE = f"(?:{_term} ?)+"
_LENGTH = re.compile(LENGTH_SHAPE)
_TERM = re.compile(rf"({_number}) ?({_unit})")
_clock = r"(?:[01]?[0-9]|2[0-3])[:.][0-5][0-9](?::[0-5][0-9])?|(?:0?[1-9]|1[0-2])(?:[:.][0-5][0-9])? ?[ap]m|noon"
_numbered = r"(?:0?[1-9]|[12][0-9]|3[01])"
_date = (
    rf"{_numbered} (?:{_month})(?: [0-9]{{4}})?|(?:{_month}) {_numbered}(?: [0-9]{{4}})?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}"
)
_day = rf"today|(?:day before )?yesterday|(?:last )?(?:{_weekday})|(?:(?:{_weekday}) )?(?:{_date})"
_DAY_TIME = re.compile(rf"(?:(?P<day>{_day})(?: (?P<clock>{_clock}))?)|(?:(?P<first>{_clock}) (?P<then>{_day}))")
SHAPE = rf"{LENGTH_SHAPE} ago|(?:{_day})(?: (?:at )?(?:{_clock}))?|(?:{_clock}) (?:{_day})"
"""What `parse_words` understands, in lower case; it reads further spellings, such as `24th Nov., 2:37 p.m.`"""

_of_twelve = "(?:0?[1-9]|1[0-2])"
_DATES = "numbers are year, month and day"
_UNCLEAR = (
    (
        rf"(?!0?([0-9]+)[./]0?\1[./]){_of_twelve}[./]{_of_twelve}[./][0-9]{{2,4}}.*",
        "may be day and month, or month and day",
    ),
    (r"[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{4}.*", f"has its year last; {_DATES}"),
    (r"[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,3}.*", f"has no year of four digits; {_DATES}"),
    (rf"(?:{_clock})", "names no day"),
    (r"(?:.* )?midnight(?: .*)?", "may be the begin or the end of the day: 00:00 is its begin"),
    (r"(?:.* )?(?:last|this|past) (?:week|month|year|hour|day|night|evening|morning)", "is a span, not an instant"),
    (rf"(?:{_day}) (?:night|morning|afternoon|evening)", "is a span, not an instant"),
    (rf"this (?:{_weekday}).*", "may be the last or the next one"),
    (rf"-? ?{LENGTH_SHAPE}", "is a duration: `now-90m` and `90m ago` are instants"),
    (r".*\b(?:months?|years?) ago", "has no fixed length"),
    (r"tomorrow.*|(?:next|this|coming) .*|in [0-9].*", "is not in the past"),
    (r".* (?:[a-z]{1,3}[st]t|ce?t|[a-z]+/[a-z_]+)", "has a time zone that is not understood; times are UTC"),
    (rf"(?:{_day}) [0-9]{{1,2}}", "may be a.m. or p.m.: 09:00 or 9pm is clear"),
)


def parse_words(text: str, now: datetime) -> datetime | None:
    """The newest instant up to `now` that the words mean; None for words of another kind.

    ValueError says why words are unclear, such as a date whose month and day may be swapped.
    """
    said = plain_words(text)
    if said.endswith(" ago") and _LENGTH.fullmatch(length := said.removesuffix("ago")):
        return now - parse_length(length)
    if match := _DAY_TIME.fullmatch(said):
        return _instant(match["day"] or match["then"], match["clock"] or match["first"], now)
    for pattern, why in _UNCLEAR:
        if re.fullmatch(pattern, said):
            raise ValueError(f"{text!r} {why}")
    return None


def plain_words(text: str) -> str:
    """The words in lower case, in one spelling, without what adds nothing."""
    said = text.lower().strip()
    for pattern, plain in _PLAIN:
        said = re.sub(pattern, plain, said)
    return said


def parse_length(said: str) -> timedelta:
    """`3 days`, `an hour`, `90 min` or `1h30m`; ValueError with a valid example otherwise."""
    if not _LENGTH.fullmatch(said):
        return parse_duration(said)
    return parse_duration("".join(f"{_VALUES.get(number, number)}{unit[0]}" for number, unit in _TERM.findall(said)))


def _instant(day: str, clock: str | None, now: datetime) -> datetime:
    at = _clock_time(clock) if clock else time()
    if day in _DAYS_BACK:
        return _at(now.date() - timedelta(days=_DAYS_BACK[day]), at)
    words = day.split()
    if (name := _NAMES.get(words[-1])) in WEEKDAYS:
        return _on_weekday(WEEKDAYS.index(name), at, now, before_today=words[0] == "last")
    weekday = _NAMES.get(words[0]) if _NAMES.get(words[0]) in WEEKDAYS else None
    date_words = words[bool(weekday) :]
    found = _at(date.fromisoformat(*date_words), at) if len(date_words) == 1 else _on_date(date_words, at, now)
    if weekday not in (None, WEEKDAYS[found.weekday()]):
        raise ValueError(f"{found:%Y-%m-%d} is a {WEEKDAYS[found.weekday()]}")
    return found


def _on_weekday(number: int, at: time, now: datetime, *, before_today: bool) -> datetime:
    back = (now.weekday() - number) % 7
    newest = _at(now.date() - timedelta(days=back), at)
    return newest - timedelta(weeks=1) if newest > now or (before_today and not back) else newest


def _on_date(words: list[str], at: time, now: datetime) -> datetime:
    """A day and a month in either order, and perhaps a year; without one, the newest such date."""
    number, month = sorted(words[:2], key=lambda word: not word.isdigit())
    place = MONTHS.index(_NAMES[month]) + 1
    if len(words) > 2:
        return _at(date(int(words[2]), place, int(number)), at)
    years = range(now.year, now.year - 9, -1)  # 29 February is at most eight years ago
    dates = [_at(date(year, place, int(number)), at) for year in years if int(number) <= monthrange(year, place)[1]]
    if not dates:
        raise ValueError("day is out of range for month")
    return next(at for at in dates if at <= now)


def _clock_time(text: str) -> time:
    if text == "noon":
        return time(12)
    numbers = [int(number) for number in re.findall("[0-9]+", text)]
    if text[-1] == "m":
        numbers[0] = numbers[0] % 12 + (12 if text[-2] == "p" else 0)
    hour, minute, second = [*numbers, 0, 0][:3]
    return time(hour, minute, second)


def _at(day: date, at: time) -> datetime:
    return datetime.combine(day, at, UTC)
