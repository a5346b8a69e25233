"""Parsing an answer: strictly where that works, leniently where one odd character would cost the whole list."""

import json
from typing import Any

import orjson

MOST_VALUES = 1_000_000
"""A page of 5,000 assets has half as many. Each value takes some 100 bytes in memory."""
MOST_LENIENT = 16 * 2**20
"""A body of more bytes is not parsed leniently: as text it may take twelve times its size."""
_MARKS = b",:[{"


class JsonRefused(Exception):
    """The body is not JSON, or has too many values."""


def parse_json(body: bytearray) -> Any:
    """The value of a JSON body; JsonRefused otherwise. Values are counted before anything is parsed.

    What the strict parser refuses is parsed again by the standard library, which accepts lone surrogates, NaN and
    numbers of any size. Bytes that are not UTF-8 become U+FFFD; a number beyond a double becomes infinite.
    """
    values = sum(body.count(mark) for mark in _MARKS)
    if values > MOST_VALUES:
        raise JsonRefused(f"the answer has more than {MOST_VALUES:,} values ({values:,})")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        strict = exc
    if len(body) > MOST_LENIENT:
        raise JsonRefused(f"the body is not JSON: {strict}") from strict
    try:
        return json.loads(str(body, "utf-8-sig", "replace"), strict=False, parse_int=_whole)
    except RecursionError:
        raise JsonRefused("the body is not JSON: it is nested too deep") from strict
    except ValueError:
        raise JsonRefused(f"the body is not JSON: {strict}") from strict


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)
