"""Answers above 1 KiB as zstd or gzip, for callers that accept it."""

import asyncio
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, IdentityResponder
from starlette.types import ASGIApp, Receive, Scope, Send

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALLEST = 1024
LARGEST_AT_ONCE = 128 * 1024
"""A longer piece is compressed in a thread."""
GZIP_LEVEL = 5
"""Level 9 takes three times as long and saves 2 % of a list."""
ZSTD_LEVEL = 1
"""Smaller lists than level 3, in half the time: they have many short repetitions."""
FILE_LEVEL = 19
"""For files that are compressed once: a fourteenth smaller."""
PACKED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/vnd.apache.parquet")
"""What is compressed already, and streams of events, which must not wait. A Parquet file is read in ranges of bytes."""
_ACCEPTED = b"accept-encoding"
_WEIGHT = re.compile(r"[01](?:\.\d{0,3})?")

Coding = Literal["zstd", "gzip"]
Compressor = Callable[[bytes, bool], bytes]
"""Compresses a piece, which may be the last one; what it returns can be decompressed at once."""


def _zstd() -> Compressor:
    stream = zstd.ZstdCompressor(ZSTD_LEVEL)
    return lambda piece, last: stream.compress(piece, stream.FLUSH_FRAME if last else stream.FLUSH_BLOCK)


def _gzip() -> Compressor:
    stream = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return lambda piece, last: stream.compress(piece) + stream.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


CODINGS: Mapping[Coding, Callable[[], Compressor]] = {"zstd": _zstd, "gzip": _gzip}
"""The codings, the preferred one first."""


def with_compression(app: ASGIApp) -> ASGIApp:
    """The app with compressed answers. It lies inside of the answer cache, so that an answer is compressed once.

    `http.caching` gives a compressed answer its own ETag.
    """

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        if coding := accepted_coding(scope):
            await _Compressed(app, coding)(scope, receive, send)
        else:  # adds `Vary` where the answer would be compressed for others
            await IdentityResponder(app, SMALLEST, exclude_content_types=PACKED)(scope, receive, send)

    return pass_on


class _Compressed(IdentityResponder):
    """Starlette decides which responses are compressed; this compresses one."""

    def __init__(self, app: ASGIApp, coding: Coding) -> None:
        super().__init__(app, SMALLEST, exclude_content_types=PACKED)
        self.content_encoding: Coding = coding
        self._compressor: Compressor | None = None

    async def apply_compression(self, body: bytes, *, more_body: bool) -> bytes:
        """A piece of the body, compressed."""
        self._compressor = self._compressor or CODINGS[self.content_encoding]()
        if len(body) <= LARGEST_AT_ONCE:
            return self._compressor(body, not more_body)
        return await asyncio.to_thread(self._compressor, body, not more_body)


def accepted_coding(scope: Scope) -> Coding | None:
    """The coding that a request gives the largest weight above 0; of equal ones, the preferred one."""
    weights = dict.fromkeys(CODINGS, 0.0)
    for name, value in scope["headers"]:
        if name == _ACCEPTED:
            for part in value.decode("latin-1").lower().split(",")[:32]:
                coding, _, weight = "".join(part.split()).partition(";q=")
                if coding in weights:
                    weights[coding] = float(weight or 1) if _WEIGHT.fullmatch(weight or "1") else 0.0
    best = max(weights, key=lambda coding: weights[coding])
    return best if weights[best] else None


def coding_of(scope: Scope, length: int, media_type: str) -> Coding | None:
    """How a whole body of this length and type is sent compressed, if it is."""
    is_sent_packed = length >= SMALLEST and media_type.partition(";")[0] not in PACKED
    return accepted_coding(scope) if is_sent_packed else None


@lru_cache(maxsize=128)
def compress_file(body: bytes, coding: Coding) -> bytes:
    """A file as small as the coding makes it, compressed once."""
    return zstd.compress(body, FILE_LEVEL) if coding == "zstd" else gzip.compress(body, mtime=0)
