"""Parsing of options that several commands share."""

from datetime import timedelta

from lib.errors import SettingsRejected
from lib.units import parse_duration


def duration(option: str, text: str) -> timedelta:
    """A duration option; SettingsRejected names the option when it is none."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise SettingsRejected(f"{option} {text}: {exc}") from exc
