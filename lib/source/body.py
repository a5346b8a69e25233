"""The body of an answer: received within a bound, whatever the upstream sends, and parsed.

Parsing is strict where that works, and lenient where one odd character would cost the whole list.
"""

import json
import zlib
from collections.abc import AsyncIterable
from typing import Any

import httpx
import orjson

ACCEPT_ENCODING = "gzip"
_GZIP = ("gzip", "x-gzip")
_GZIP_WBITS = 31
MOST_VALUES = 1_000_000
"""A page of 5,000 assets has half as many. Each value takes some 100 bytes in memory."""
MOST_LENIENT = 16 * 2**20
"""A body of more bytes is not parsed leniently: as text it may take twelve times its size."""
_MARKS = b",:[{"


class BodyRefused(Exception):
    """The body is larger than the bound, or has a content coding that was not asked for."""


class JsonRefused(Exception):
    """The body is not JSON, or has too many values."""


async def receive_body(chunks: AsyncIterable[bytes], headers: httpx.Headers, most: int, beyond: str) -> bytearray:
    """The decoded body of at most `most` bytes; BodyRefused with the text `beyond` where it is larger.

    Broken gzip is a zlib.error, gzip that is cut off an EOFError. Decompression is piece by piece: no more
    than the bound is ever in memory.
    """
    gunzip = _gunzip(headers)
    body, received = bytearray(), 0
    async for chunk in chunks:
        received += len(chunk)
        if gunzip:
            gunzip.feed(chunk, body, most)
        else:
            body += chunk
        if max(len(body), received) > most:
            raise BodyRefused(beyond)
    if gunzip and gunzip.unfinished:
        raise EOFError("the gzip stream is cut off")
    return body


def _gunzip(headers: httpx.Headers) -> "_Gunzip | None":
    codings = [coding.strip().lower() for coding in headers.get_list("content-encoding", split_commas=True)]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _GZIP:
        raise BodyRefused(f"the content coding is {', '.join(codings)[:100]!r}; only {ACCEPT_ENCODING} is accepted")
    return _Gunzip()


class _Gunzip:
    """Decompresses a gzip stream of one or more members, which zeros may follow, as gzip itself accepts them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self.unfinished: bool | None = None
        """Whether a member has begun and has not ended; None before the first."""

    def feed(self, chunk: bytes, body: bytearray, most: int) -> None:
        """Append what a chunk decompresses to, at most one byte beyond the bound."""
        while len(body) <= most and (chunk := chunk.lstrip(b"\0") if self.unfinished is False else chunk):
            body += self._member.decompress(chunk, most + 1 - len(body))
            self.unfinished = not self._member.eof
            chunk = self._member.unconsumed_tail
            if self._member.eof:
                chunk, self._member = self._member.unused_data, zlib.decompressobj(_GZIP_WBITS)


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
