"""Receiving the body of an answer within a bound, whatever the upstream sends."""

import zlib
from collections.abc import AsyncIterable

import httpx

ACCEPT_ENCODING = "gzip"
_GZIP = ("gzip", "x-gzip")
_GZIP_WBITS = 31


class BodyRefused(Exception):
    """The body is larger than the bound, or has a content coding that was not asked for."""


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
