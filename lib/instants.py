"""The instant a caller means, in every form the API takes."""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib import instant_words
from lib.clock import from_epoch, isoformat, slot
from lib.errors import SettingsRejected

CLOCK_DIFFERENCE = timedelta(seconds=5)
"""A caller's clock may be this far ahead of ours."""

EXAMPLE = "2026-11-17T14:37:00Z"
FORMS = (
    f"write for example {EXAMPLE}, 2026-11-17T15:37:00+01:00, 2026-11-17, 1794926220, now-90m, yesterday 09:00 or"
    " tue 14:37"
)

DURATION = r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[smhdw])+"
"""What `parse_duration` reads."""

# A `+` that was not escaped in a URL arrives as a space, so a space may stand for one.
_DATE_TIME = re.compile(
    r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)"
    r"(?: ?([Zz])|( ?[+\-]| )((?:[01][0-9]|2[0-3]):[0-5][0-9]))?)?"
)
_EPOCH = re.compile(r"[0-9]{10}(?:\.[0-9]{1,6})?")
_AGO = re.compile("now(?: ?[-\u2212\u2013] ?(.+))?", re.IGNORECASE)
SHAPE = rf"^(?:now(?: ?- ?{instant_words.LENGTH_SHAPE})?|{_EPOCH.pattern}|{_DATE_TIME.pattern}|{instant_words.SHAPE})$"
"""What every instant looks like, for the OpenAPI document, words in lower case; not everything that looks so is one."""

_MILLISECONDS = re.compile(r"[0-9]{13}")


def parse_instant(text: str, now: datetime) -> datetime:
    """RFC 3339, a date (its midnight), epoch seconds, `now-90m` or words such as `tue 14:37`, as an aware UTC datetime.

    Without an offset it is UTC. ValueError says what is wrong, with valid examples; the future is refused.
    """
    try:
        at = _parsed(text.strip(), now)
    except OverflowError as exc:
        raise ValueError(f"{text!r} is outside the calendar; {FORMS}") from exc
    if at > now + CLOCK_DIFFERENCE:
        raise ValueError(f"{text!r} is in the future: it is {isoformat(now.replace(microsecond=0))} here; {FORMS}")
    return at


def refuse_future(tick: datetime, now: datetime, file: Path) -> None:
    """Raise SettingsRejected for a file with a tick of the future: answers must not look ahead."""
    if tick > now + CLOCK_DIFFERENCE:
        raise SettingsRejected(
            f"{file}: its tick {isoformat(tick)} is in the future: it is {isoformat(now.replace(microsecond=0))} here;"
            " look at this machine's clock, then run the command again"
        )


def is_absolute(text: str) -> bool:
    """Whether a valid instant means the same whenever it is read."""
    return bool(_EPOCH.fullmatch(text) or _DATE_TIME.fullmatch(text))


def moves(text: str) -> bool:
    """Whether a valid instant is another one each second: `now`, `now-90m`, `2h ago`."""
    return bool(_AGO.fullmatch(text.strip())) or instant_words.plain_words(text).endswith(" ago")


def first_step(start: datetime, text: str | None, every: timedelta) -> datetime:
    """Where steps begin: at `from`. A `from` that moves with the clock (`now-2h`, or none) is floored to `every`.

    `start` is the instant of `text`, the `from` as the caller wrote it.
    """
    return slot(start, every) if text is None or moves(text) else start


@dataclass(frozen=True, slots=True)
class Span:
    """The instants from `start` on, `every` so far apart, before `stop`."""

    start: datetime
    stop: datetime
    every: timedelta

    @property
    def steps(self) -> int:
        """The number of its instants."""
        return math.ceil((self.stop - self.start) / self.every)

    def at(self, number: int) -> datetime:
        """The instant of a number, from 0."""
        return self.start + number * self.every


def _parsed(text: str, now: datetime) -> datetime:
    if ago := _AGO.fullmatch(text):
        return now - instant_words.parse_length(ago[1].lower()) if ago[1] else now
    if _EPOCH.fullmatch(text):
        return from_epoch(float(text))
    if _MILLISECONDS.fullmatch(text):
        raise ValueError(f"{text!r} looks like milliseconds; epoch seconds have 10 digits: {FORMS}")
    if match := _DATE_TIME.fullmatch(text):
        date, time, _zulu, sign, offset = match.groups()
        zone = f"{'-' if '-' in sign else '+'}{offset}" if offset else "+00:00"
        try:
            return datetime.fromisoformat(f"{date}T{time or '00:00'}{zone}").astimezone(UTC)
        except ValueError as exc:
            raise ValueError(f"{text!r} is no instant: {exc}; {FORMS}") from exc
    try:
        said = instant_words.parse_words(text, now)
    except ValueError as exc:
        why = str(exc) if str(exc).startswith(repr(text)) else f"{text!r} is no instant: {exc}"
        raise ValueError(f"{why}; {FORMS}") from exc
    if said is None:
        raise ValueError(f"{text!r} is no instant; {FORMS}")
    return said
