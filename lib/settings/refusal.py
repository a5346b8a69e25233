"""The sentence that refuses a setting. It names the setting and its value, but nothing that may be a secret."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import ValidationError

from lib.errors import SettingsRejected
from lib.redaction import HIDDEN, shown
from lib.settings.model import EXAMPLES

PREFIX = "TOPCOINS_"
TABLES = ("api_keys", "source_urls")
"""Fields of `Settings` that are filled from settings such as cmc_api_key and cmc_url."""
_SECRETS = ("influx_token", "archive_secret_key", "client_key", "client_keys")


def is_secret(name: str) -> bool:
    """Whether the setting of this name is a secret."""
    return name in _SECRETS or name.endswith("_api_key")


@contextmanager
def naming(setting: str) -> Iterator[None]:
    """A refusal within, of a file that the setting names, names the setting, with a valid example."""
    try:
        yield
    except SettingsRejected as exc:
        raise SettingsRejected(f"{PREFIX}{setting.upper()}: {exc}{_example(setting, str(exc))}") from None


def refuse(exc: ValidationError, values: Mapping[str, object]) -> SettingsRejected:
    """The first error of pydantic as one sentence."""
    error = exc.errors(include_url=False)[0]
    name, *inner = (str(part) for part in error["loc"])
    value = values.get(name)
    if isinstance(value, dict) and inner:
        value = value.get(inner[0])
    setting = inner[0] if name in TABLES and inner else name
    text = "its value" if is_secret(setting) else shown(repr(value))
    reason = _without(error["msg"].removeprefix("Value error, "), value)
    named = f"{PREFIX}{setting.upper()} (or {setting} in the file)"
    return SettingsRejected(f"{named}: {text}: {reason}{_example(name, reason)}")


def _example(setting: str, reason: str) -> str:
    return f"; for example {EXAMPLES[setting]}" if setting in EXAMPLES and "for example" not in reason else ""


def _without(reason: str, value: object) -> str:
    """A reason without the parts of a value that may be keys: some reasons name the part that is wrong."""
    for part in _parts(value):
        if shown(part) == HIDDEN:
            reason = reason.replace(repr(part), HIDDEN).replace(part, HIDDEN)
    return reason


def _parts(value: object) -> Iterable[str]:
    parts = value if isinstance(value, list | tuple) else [value, *str(value).split(",")]
    return (text for part in parts if (text := str(part).strip()))
