"""Compressed answers: fewer bytes, the same content, and the promises of ETag, HEAD, Vary, ranges and streams."""

import gzip
import sys
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from query_api.http.caching import conditional_response
from query_api.middleware.compression import CODINGS, LARGEST_AT_ONCE, accepted_coding, with_compression
from query_api.middleware.security_headers import security_headers
from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, calling, stocked

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LONG = b"price " * 1000
VARY = "Accept, Accept-Encoding"
GZIP = {"accept-encoding": "gzip"}
ZSTD = {"accept-encoding": "zstd"}
PLAIN = {"accept-encoding": "identity"}
UNPACK = {"gzip": gzip.decompress, "zstd": zstd.decompress}
EACH = pytest.mark.parametrize("coding", list(UNPACK))


async def answer(request: Request) -> Response:
    return conditional_response(request, LONG, {"vary": "Accept"}, "text/plain")


async def short(request: Request) -> Response:
    return conditional_response(request, b"price", {}, "text/plain")


async def parquet(request: Request) -> Response:
    return conditional_response(request, LONG, {}, "application/vnd.apache.parquet")


async def part(request: Request) -> Response:
    return Response(LONG, 206, headers={"content-range": "bytes 0-5999/9000"})


async def streamed(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield LONG * (LARGEST_AT_ONCE // len(LONG) + 1 if "large" in request.query_params else 1)

    kind = "text/event-stream" if "events" in request.query_params else "text/csv"
    return StreamingResponse(pieces(), media_type=kind)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    endpoints = (answer, short, parquet, part, streamed)
    routes = [Route(f"/{each.__name__}", each, methods=["GET", "HEAD"]) for each in endpoints]
    transport = httpx.ASGITransport(security_headers(with_compression(Starlette(routes=routes))))
    async with httpx.AsyncClient(transport=transport, base_url="http://topcoins") as caller:
        yield caller


async def raw(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
    async with client.stream("GET", path, headers=headers) as response:
        return response, b"".join([piece async for piece in response.aiter_raw()])


@EACH
async def test_a_long_answer_is_compressed_for_those_that_accept_it_and_has_the_same_content(client, coding):
    response, body = await raw(client, "/answer", {"accept-encoding": coding})
    assert len(body) < 200
    assert UNPACK[coding](body) == LONG
    assert (response.headers["content-encoding"], response.headers["content-length"]) == (coding, str(len(body)))
    plain, same = await raw(client, "/answer", PLAIN)
    assert (same, "content-encoding" in plain.headers) == (LONG, False)
    assert response.headers["vary"] == plain.headers["vary"] == VARY


async def test_the_etag_of_compressed_bytes_is_their_own_and_either_gives_304(client):
    strong = (await client.get("/answer", headers=PLAIN)).headers["etag"]
    tags = {"identity": strong, "gzip": f'{strong[:-1]}-gzip"', "zstd": f'{strong[:-1]}-zstd"'}
    for headers in (GZIP, ZSTD, PLAIN):
        own = tags[headers["accept-encoding"]]
        assert (await client.get("/answer", headers=headers)).headers["etag"] == own
        for known in tags.values():
            again = await client.get("/answer", headers={**headers, "if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert (again.headers["etag"], again.headers["vary"]) == (own, VARY)


async def test_head_has_the_headers_of_get_and_no_body(client):
    for headers in (GZIP, ZSTD, PLAIN):
        get, head = [await client.request(method, "/answer", headers=headers) for method in ("GET", "HEAD")]
        assert (head.headers, head.content) == (get.headers, b"")


@pytest.mark.parametrize("path", ["/short", "/parquet", "/part", "/streamed?events"])
@EACH
async def test_short_answers_files_read_in_ranges_parts_and_events_are_sent_as_they_are(client, path, coding):
    response, body = await raw(client, path, {"accept-encoding": coding})
    assert "content-encoding" not in response.headers
    assert zlib.adler32(body) in {zlib.adler32(known) for known in (b"price", LONG, 3 * LONG)}


@EACH
async def test_a_streamed_answer_is_compressed_piece_by_piece_and_each_piece_can_be_read_at_once(client, coding):
    response, body = await raw(client, "/streamed", {"accept-encoding": coding})
    assert UNPACK[coding](body) == 3 * LONG
    assert "content-length" not in response.headers
    compressor = CODINGS[coding]()
    parts: dict[str, Any] = {"gzip": zlib.decompressobj(31), "zstd": zstd.ZstdDecompressor()}
    for piece in (b"a", LONG, b"b"):
        assert parts[coding].decompress(compressor(piece, False)) == piece


@EACH
async def test_a_piece_too_long_for_the_event_loop_has_the_same_content(client, coding):
    _, body = await raw(client, "/streamed?large", {"accept-encoding": coding})
    assert UNPACK[coding](body) == 3 * LONG * (LARGEST_AT_ONCE // len(LONG) + 1)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip", "gzip"), ("br, GZIP;q=0.5", "gzip"), ("gzip;q=1.0", "gzip"), ("gzip; q=0.1", "gzip"),
        ("", None), ("identity", None), ("gzip;q=0", None), ("gzip; q=0.0, br", None), ("xgzip", None),
        ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=0.9, zstd;q=0.9", "zstd"), ("zstd\t; q=1, gzip", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"), ("zstd;q=0, gzip;q=0.001", "gzip"), ("zstd;q=0.000", None),
        ("zstd;q=nan, gzip;q=0.2", "gzip"), ("zstd;q=, gzip;q=0.2", "zstd"), ("zstd;q=-1", None), ("gzip;q=9", None),
    ],
)  # fmt: skip
async def test_the_coding_of_the_largest_weight_is_used_and_zstd_before_gzip(client, header, coding):
    assert accepted_coding({"headers": [(b"accept-encoding", header.encode())]}) == coding
    response, _ = await raw(client, "/answer", {"accept-encoding": header})
    assert response.headers.get("content-encoding") == coding


async def test_an_answer_from_the_cache_has_the_coding_that_its_caller_accepts():
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as caller:
        for headers in 2 * [GZIP, ZSTD, PLAIN]:
            coding = headers["accept-encoding"]
            response, body = await raw(caller, "/v1/top", headers)
            assert response.headers.get("content-encoding", "identity") == coding
            assert b'"count":5' in UNPACK.get(coding, bytes)(body)
