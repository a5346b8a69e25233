"""Broken answers, made as the product of seven kinds: each ends in a reading or in a defined error, in bounded time."""

import asyncio
import gzip
import json
from collections.abc import Callable
from datetime import timedelta

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import SourceMalformed, SourceRejected, SourceUnavailable, TopcoinsError
from lib.source import SourceFile
from lib.source.upstream import ATTEMPTS
from tests.examples import examples
from tests.fakes import FakeClock, Upstream
from tests.unit.source.test_upstream import CMC, COINDESK, KEY, listing, made, top_list

EXAMPLES = 250
"""Of some 69,000. All of them passed once; more of them cost minutes."""
STATUSES = (200, 204, 206, 302, 400, 403, 404, 429, 500)
HEADERS = {
    "none": {},
    "wait": {"retry-after": "30"},
    "absurd": {"retry-after": "9" * 5000, "date": "Fri, 31 Dec 9999 23:59:59 -2359", "age": "9" * 99},
    "cookie": {"set-cookie": f"session={KEY}; Max-Age=99999", "location": f"https://elsewhere.example/?key={KEY}"},
}
Encode = Callable[[bytes], bytes]
CODINGS: dict[str, tuple[Encode, str]] = {
    "plain": (lambda body: body, ""),
    "gzip": (gzip.compress, "gzip"),
    "a lie": (lambda body: body, "gzip"),
    "nested": (lambda body: gzip.compress(gzip.compress(body)), "gzip, gzip"),
    "unknown": (lambda body: body, "br"),
}
LENGTHS: dict[str, Encode] = {
    "whole": lambda body: body,
    "empty": lambda body: b"",
    "cut": lambda body: body[: len(body) // 2],
    "more": lambda body: body + b"}" * 9,
}
NESTING: dict[str, Encode] = {"flat": lambda body: body, "deep": lambda body: b"[" * 5000 + body + b"]" * 5000}
ENCODINGS: dict[str, Encode] = {
    "utf-8": lambda body: body,
    "mark": lambda body: b"\xef\xbb\xbf" + body,
    "latin-1": lambda body: body.replace(b"Coin", b"C\xf6in"),
    "utf-16": lambda body: body.decode().encode("utf-16"),
}
TYPES = {
    "list": {**listing(1, 2), **top_list(1, 2)},
    "html": "<html>Coin</html>",
    "code": {"status": {"error_code": 1008}, "Err": {"type": 99}, "name": "Coin"},
    "stop": {"status": {"error_code": 1001}, "Err": {"type": 2}},
    "null": None,
    "shapes": {"data": {"Coin": 5}, "Data": [], "status": 5, "Err": "no"},
}


def content(kind: str, encoding: str, nesting: str, length: str) -> bytes:
    body = TYPES[kind]
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return LENGTHS[length](NESTING[nesting](ENCODINGS[encoding](raw)))


def expected(
    status: int, coding: str, length: str, nesting: str, encoding: str, kind: str
) -> type[TopcoinsError] | None:
    """The error of an answer, None for a reading."""
    if coding in ("nested", "unknown"):
        return SourceMalformed
    if coding == "a lie" and length != "empty":
        return SourceUnavailable
    readable = length == "whole" and nesting == "flat" and encoding != "utf-16"
    if readable and kind == "stop":
        return SourceRejected
    if readable and kind == "code":
        return SourceUnavailable
    if not 200 <= status < 300:
        return SourceRejected if status == 404 else SourceUnavailable
    return None if readable and kind == "list" and status != 206 else SourceMalformed


async def outcome(file: SourceFile, upstream: Upstream) -> TopcoinsError | None:
    """The error of a reading of two assets, None for both of them."""
    try:
        reading = await made(file, upstream, clock=FakeClock()).read(2, timedelta(seconds=10))
    except TopcoinsError as exc:
        return exc
    assert len(reading.rows) == 2
    return None


@given(
    file=st.sampled_from([CMC, COINDESK]), status=st.sampled_from(STATUSES), header=st.sampled_from(list(HEADERS)),
    coding=st.sampled_from(list(CODINGS)), length=st.sampled_from(list(LENGTHS)),
    nesting=st.sampled_from(list(NESTING)),
    encoding=st.sampled_from(list(ENCODINGS)), kind=st.sampled_from(list(TYPES)),
)  # fmt: skip
@settings(deadline=None, max_examples=examples(EXAMPLES))
def test_each_broken_answer_ends_in_a_reading_or_a_defined_error(
    file, status, header, coding, length, nesting, encoding, kind
):
    encode, named = CODINGS[coding]
    headers = {**HEADERS[header], **({"content-encoding": named} if named else {})}
    body = encode(content(kind, encoding, nesting, length))
    upstream = Upstream(lambda request: httpx.Response(status, headers=headers, stream=httpx.ByteStream(body)))
    error = asyncio.run(outcome(file, upstream))
    wanted = expected(status, coding, length, nesting, encoding, kind)
    assert error is None if wanted is None else isinstance(error, wanted)
    assert KEY not in str(error)
    assert "\n" not in str(error)
    assert len(upstream.asked) <= ATTEMPTS
