"""Durations as people write them in settings and queries: `60s`, `10m`, `24h`, `30d`."""

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TERM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])")
_DURATION = re.compile(rf"(?:{_TERM.pattern})+")


def parse_duration(text: str) -> timedelta:
    """`90m`, `1h30m` or `0.5h` as a timedelta; ValueError with a valid example otherwise."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write for example 60s, 10m, 24h or 1h30m")
    try:
        return sum((timedelta(**{_UNITS[u]: float(n)}) for n, u in _TERM.findall(text)), timedelta())
    except OverflowError as exc:
        raise ValueError(f"{text!r} is too long a duration; write for example 24h") from exc


def format_duration(span: timedelta) -> str:
    """A duration in whole seconds as `parse_duration` reads it, such as `1h30m`."""
    seconds = round(span.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
