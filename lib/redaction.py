"""Texts without secrets: without those that are known, and without what may be a key that somebody misplaced."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from lib.clock import isoformat

HIDDEN = "***"

_PART = re.compile(r"(?=[A-Za-z_+=~-]*[0-9])[A-Za-z0-9_+=~-]{12,}|[A-Za-z0-9+=~-]{16,}")
"""12 letters and digits in a row, or 16 letters."""
_OF_AN_ADDRESS = re.compile(r"[@?#]")
"""A user in an address, a query or a fragment."""


def shown(text: str) -> str:
    """The text for an error or a log; `***` if a key may be in it, put there by mistake."""
    return HIDDEN if _OF_AN_ADDRESS.search(text) or _PART.search(text) else text


def without_keys(text: str) -> str:
    """The text with `***` for each part of it that may be a key."""
    return _PART.sub(HIDDEN, text)


def parts_like_keys(texts: Iterable[str]) -> set[str]:
    """The parts of the texts that may be keys."""
    return {part for text in texts for part in _PART.findall(text)}


class Redaction:
    """Hides secrets wherever they are, however they are quoted, in any case: a host name becomes lower case."""

    def __init__(self, secrets: Iterable[str]) -> None:
        plain = set(secrets) - {""}
        forms = {form for text in plain for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, ""))}
        longest_first = sorted(forms, key=len, reverse=True)  # one may begin with another
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or "(?!)", re.IGNORECASE)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._secrets.sub(HIDDEN, text)

    def value(self, value: Any) -> Any:
        """Any value without secrets, however deep they are in it."""
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, dict):
            return {self.value(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return self.text(isoformat(value) if isinstance(value, datetime) else str(value))
