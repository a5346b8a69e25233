"""Which characters a name may have: all but control characters. Joiners and direction marks are part of many names."""

import re

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
