"""Names: which characters they may have, and which known name is near one that is unknown.

A name may have all but control characters. Joiners and direction marks are part of many names.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def clean_name(text: str) -> str:
    """A name as it is stored: without control characters, and without space around it."""
    return without_control(text).strip()


def search_key(text: str) -> str:
    """What a name is searched by: as it is stored, in any case."""
    return clean_name(text).lower()


def is_plain(ticker: str) -> bool:
    """Whether a ticker is ASCII letters and digits alone, so that it may be a part of a query."""
    return ticker.isascii() and ticker.isalnum()


def is_digits(text: str, most: int = 18) -> bool:
    """Whether a text is a whole number of at most so many digits, which a 64-bit number holds."""
    return text.isascii() and text.isdigit() and len(text) <= most


def without_control(text: str) -> str:
    """The text with a space for each control character, and U+FFFD for each lone surrogate."""
    if text.isprintable():  # most names: neither control characters nor surrogates are printable
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def no_column(name: str, known: Iterable[str]) -> str:
    """The reason for a column that is unknown."""
    return f"{name!r} is no column{did_you_mean(name, known)}; they are {', '.join(known)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the known name that is nearest, to put behind a reason; nothing where none is near."""
    near = get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
