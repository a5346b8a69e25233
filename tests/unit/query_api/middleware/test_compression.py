"""Compressed answers: fewer bytes, the same content, and the promises of ETag, HEAD, Vary, ranges and streams."""

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from query_api.http.caching import conditional_response
from query_api.middleware.compression import Compression, accepts_gzip
from tests.fakes import FakeClock
from tests.unit.query_api.market import NOW, calling, stocked

LONG = b"price " * 1000
VARY = "Accept, Accept-Encoding"
GZIP = {"accept-encoding": "gzip"}
PLAIN = {"accept-encoding": "identity"}


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
            yield LONG

    kind = "text/event-stream" if "events" in request.query_params else "text/csv"
    return StreamingResponse(pieces(), media_type=kind)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    endpoints = (answer, short, parquet, part, streamed)
    routes = [Route(f"/{each.__name__}", each, methods=["GET", "HEAD"]) for each in endpoints]
    transport = httpx.ASGITransport(Compression(Starlette(routes=routes)))
    async with httpx.AsyncClient(transport=transport, base_url="http://topcoins") as caller:
        yield caller


async def raw(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> tuple[httpx.Response, bytes]:
    async with client.stream("GET", path, headers=headers) as response:
        return response, b"".join([piece async for piece in response.aiter_raw()])


async def test_a_long_answer_is_compressed_for_those_that_accept_it_and_has_the_same_content(client):
    response, body = await raw(client, "/answer", GZIP)
    assert len(body) < 200
    assert gzip.decompress(body) == LONG
    assert response.headers["content-length"] == str(len(body))
    plain, same = await raw(client, "/answer", PLAIN)
    assert (same, "content-encoding" in plain.headers) == (LONG, False)
    assert response.headers["vary"] == plain.headers["vary"] == VARY


async def test_the_etag_of_compressed_bytes_is_their_own_and_either_gives_304(client):
    tag = (await client.get("/answer", headers=GZIP)).headers["etag"]
    strong = (await client.get("/answer", headers=PLAIN)).headers["etag"]
    assert tag == f'{strong[:-1]}-gzip"'
    for headers in (GZIP, PLAIN):
        for known in (tag, strong):
            again = await client.get("/answer", headers={**headers, "if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert (again.headers["etag"], again.headers["vary"]) == (tag if headers is GZIP else strong, VARY)


async def test_head_has_the_headers_of_get_and_no_body(client):
    for headers in (GZIP, PLAIN):
        get, head = [await client.request(method, "/answer", headers=headers) for method in ("GET", "HEAD")]
        assert (head.headers, head.content) == (get.headers, b"")


@pytest.mark.parametrize("path", ["/short", "/parquet", "/part", "/streamed?events"])
async def test_short_answers_files_read_in_ranges_parts_and_events_are_sent_as_they_are(client, path):
    response, body = await raw(client, path, GZIP)
    assert "content-encoding" not in response.headers
    assert zlib.adler32(body) in {zlib.adler32(known) for known in (b"price", LONG, 3 * LONG)}


async def test_a_streamed_answer_is_compressed_piece_by_piece(client):
    response, body = await raw(client, "/streamed", GZIP)
    assert gzip.decompress(body) == 3 * LONG
    assert "content-length" not in response.headers
    assert zlib.decompressobj(31).decompress(body[: len(body) // 2]).startswith(b"price")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=1.0", True), ("gzip; q=0.1", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0, br", False), ("xgzip", False),
    ],
)  # fmt: skip
async def test_gzip_is_accepted_where_it_is_named_with_a_weight(client, header, accepted):
    assert accepts_gzip({"headers": [(b"accept-encoding", header.encode())]}) is accepted
    response, _ = await raw(client, "/answer", {"accept-encoding": header})
    assert ("content-encoding" in response.headers) is accepted


async def test_an_answer_from_the_cache_is_compressed_and_a_caller_without_gzip_gets_none():
    clock = FakeClock(NOW)
    async with calling(stocked(clock), clock) as caller:
        for headers in (GZIP, PLAIN, GZIP, PLAIN):
            response = await caller.get("/v1/top", headers=headers)
            assert response.headers.get("content-encoding", "identity") == headers["accept-encoding"]
            assert response.json()["count"] == 5
