"""What the options of several commands are made of."""

from datetime import timedelta

from lib.errors import SettingsRejected
from lib.units import parse_duration


def duration(option: str, text: str) -> timedelta:
    """An option that is a duration; SettingsRejected names it otherwise."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise SettingsRejected(f"{option} {text}: {exc}") from exc
