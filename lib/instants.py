"""The instant a caller means, in every form the API takes."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lib.clock import from_epoch, isoformat, slot
from lib.errors import SettingsRejected
from lib.units import parse_duration

CLOCK_DIFFERENCE = timedelta(seconds=5)
"""A caller's clock may be this far ahead of ours."""

EXAMPLE = "2026-11-17T14:37:00Z"
FORMS = f"write for example {EXAMPLE}, 2026-11-17T15:37:00+01:00, 2026-11-17, 1794926220 or now-90m"

DURATION = r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[smhdw])+"
"""What `parse_duration` reads."""

# A `+` that was not escaped in a URL arrives as a space, so a space may stand for one.
_DATE_TIME = re.compile(
    r"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))"
    r"(?:[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)"
    r"(?:([Zz])|([+\- ])((?:[01][0-9]|2[0-3]):[0-5][0-9]))?)?"
)
_EPOCH = re.compile(r"[0-9]{10}(?:\.[0-9]{1,6})?")
_AGO = re.compile(r"now(?:-(.+))?")
SHAPE = rf"^(?:now(?:-{DURATION})?|{_EPOCH.pattern}|{_DATE_TIME.pattern})$"
"""What every instant looks like, for the OpenAPI document; not everything that looks so is one."""

_MILLISECONDS = re.compile(r"[0-9]{13}")


def parse_instant(text: str, now: datetime) -> datetime:
    """RFC 3339, a date (its midnight), epoch seconds or `now-90m`, as an aware UTC datetime.

    Without an offset it is UTC. ValueError says what is wrong, with valid examples; the future is refused.
    """
    try:
        at = _parsed(text, now)
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


def first_step(start: datetime, text: str | None, every: timedelta) -> datetime:
    """Where steps begin: at `from`. A `from` that depends on the clock (`now-2h`, or none) is floored to `every`.

    `start` is the instant of `text`, the `from` as the caller wrote it.
    """
    return slot(start, every) if text is None or text.startswith("now") else start


def _parsed(text: str, now: datetime) -> datetime:
    if ago := _AGO.fullmatch(text):
        return now - parse_duration(ago[1]) if ago[1] else now
    if _EPOCH.fullmatch(text):
        return from_epoch(float(text))
    if _MILLISECONDS.fullmatch(text):
        raise ValueError(f"{text!r} looks like milliseconds; epoch seconds have 10 digits: {FORMS}")
    if found := _DATE_TIME.fullmatch(text):
        date, time, _zulu, sign, offset = found.groups()
        zone = f"{'-' if sign == '-' else '+'}{offset}" if offset else "+00:00"
        try:
            return datetime.fromisoformat(f"{date}T{time or '00:00'}{zone}").astimezone(UTC)
        except ValueError as exc:
            raise ValueError(f"{text!r} is no instant: {exc}; {FORMS}") from exc
    raise ValueError(f"{text!r} is no instant; {FORMS}")
