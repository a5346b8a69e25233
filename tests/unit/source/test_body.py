"""Receiving a body: one content coding, piece by piece, within a bound, in bounded memory."""

import asyncio
import gzip
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.source.body import BodyRefused, receive_body
from tests.examples import examples

GZIP = httpx.Headers({"content-encoding": "gzip"})
LARGEST_MIB = 512


async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def received(body: bytes, headers: httpx.Headers = GZIP, *, most: int = 10**6, size: int = 7) -> bytes:
    return bytes(asyncio.run(receive_body(chunks(body, size), headers, most, "too large")))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50))
@settings(deadline=None, max_examples=examples(60))
def test_gzip_of_one_or_more_members_gives_the_body_however_it_is_cut(parts, size):
    assert received(b"".join(map(gzip.compress, parts)), size=size) == b"".join(parts)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50), st.integers(1, 100))
@settings(deadline=None, max_examples=examples(30))
def test_zeros_after_a_member_of_gzip_are_padding(parts, size, zeros):
    padded = b"".join(gzip.compress(part) + b"\0" * zeros for part in parts)
    assert received(padded, size=size) == b"".join(parts) == gzip.decompress(padded)


def test_zeros_before_gzip_and_other_bytes_after_it_are_no_gzip():
    for broken in (b"\0" + gzip.compress(b"body"), gzip.compress(b"body") + b"\0x"):
        with pytest.raises((zlib.error, EOFError)):
            received(broken, size=100)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "identity, gzip", "gzip,"])
def test_gzip_may_be_spelled_otherwise(coding):
    assert received(gzip.compress(b"body"), httpx.Headers({"content-encoding": coding})) == b"body"


@pytest.mark.parametrize("coding", ["", "identity"])
def test_a_body_without_a_coding_is_taken_as_it_is(coding):
    assert received(b"body", httpx.Headers({"content-encoding": coding})) == b"body"


@pytest.mark.parametrize(
    "coding", ["gzip, gzip", "deflate", "br", "zstd", "br, gzip", "gzip, identity, gzip", "x" * 10**4]
)
def test_any_other_coding_is_refused(coding):
    with pytest.raises(BodyRefused, match="only gzip is accepted"):
        received(gzip.compress(b"body"), httpx.Headers({"content-encoding": coding}))


def test_two_headers_are_two_codings():
    with pytest.raises(BodyRefused):
        received(gzip.compress(b"body"), httpx.Headers([("content-encoding", "gzip"), ("content-encoding", "gzip")]))


@pytest.mark.parametrize("most", [0, 1, 99, 100])
def test_a_body_may_be_as_large_as_the_bound(most):
    for body, headers in ((b"x" * most, httpx.Headers()), (gzip.compress(b"x" * most + b""), GZIP)):
        assert len(received(body, headers, most=most if headers == httpx.Headers() else max(most, len(body)))) == most
    with pytest.raises(BodyRefused, match="too large"):
        received(b"x" * (most + 1), httpx.Headers(), most=most)
    with pytest.raises(BodyRefused, match="too large"):
        received(gzip.compress(b"x" * 1000), most=999)


def test_empty_members_count_by_their_own_size():
    with pytest.raises(BodyRefused, match="too large"):
        received(gzip.compress(b"") * 100, most=1000)


def test_gzip_that_is_cut_off_is_no_body(subtests):
    for cut in range(1, len(gzip.compress(b"body"))):
        with subtests.test(cut=cut), pytest.raises(EOFError):
            received(gzip.compress(b"body")[:cut])


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"body", mtime=0) + b"no gzip", zlib.compress(b"body")])
def test_what_is_no_gzip_is_no_body(body):
    with pytest.raises(zlib.error):
        received(body)


def test_no_answer_fills_the_memory():
    """In its own process: its peak includes the interpreter and all libraries."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.unit.source.swollen"], capture_output=True, text=True, check=True, timeout=1800
    )
    lines = [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]
    outcomes = {name: outcome for _, name, outcome in lines}
    assert max(int(peak) for peak, _, _ in lines) < LARGEST_MIB
    assert "only gzip is accepted" in outcomes["gzip in gzip"]
    assert "the answer is larger than 33554432 bytes" in outcomes["a bomb"]
    assert "more than 1,000,000 values" in outcomes["empty lists"]
    assert "more than 20,000 records" in outcomes["as many values, parsed leniently"]
    assert outcomes["one wide text"] == outcomes["one wide text, parsed leniently"] == "1 rows"
    assert "the body is not JSON" in outcomes["more text than is parsed leniently"]
    assert "page=3&page_size=100: all pages are larger than 67108864 bytes" in outcomes["large pages"]
