"""Errors about a file that a setting names."""

from collections.abc import Iterator
from contextlib import contextmanager

from lib.errors import SettingsRejected
from lib.settings.model import EXAMPLES
from lib.settings.refusal import PREFIX


@contextmanager
def naming(setting: str) -> Iterator[None]:
    """A refusal within names the setting, with a valid example."""
    try:
        yield
    except SettingsRejected as exc:
        example = "" if "for example" in str(exc) else f"; for example {EXAMPLES[setting]}"
        raise SettingsRejected(f"{PREFIX}{setting.upper()}: {exc}{example}") from None
