"""Reads answers that swell in memory, and prints the peak of the process after each."""

import asyncio
import gzip
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr

import ingest_price
import ingest_rank
from lib.clock import utc_now
from lib.errors import TopcoinsError
from lib.http_client import open_client
from lib.source import Source, SourceFile, read_source

MIB = 2**20
CMC = read_source(Path(ingest_price.__path__[0]) / "coinmarketcap.toml")
COINDESK = read_source(Path(ingest_rank.__path__[0]) / "coindesk.toml")


def repeated(head: bytes, part: bytes, size: int, tail: bytes) -> bytes:
    """Gzip of head, the part until the size is reached, and tail: one member each, so that none is made at length."""
    block = part * (MIB // len(part))
    return gzip.compress(head) + gzip.compress(block) * (size // len(block)) + gzip.compress(tail)


def zipped(body: bytes, coding: str = "gzip") -> Callable[[httpx.Request], httpx.Response]:
    """An answer with this body as it is sent."""
    return lambda request: httpx.Response(200, headers={"content-encoding": coding}, stream=httpx.ByteStream(body))


def page_of_blanks(request: httpx.Request) -> httpx.Response:
    """A page of CoinDesk of 30 MiB, most of it blanks."""
    first = int(request.url.params["page"]) * 100
    records = b",".join(b'{"ASSET_ALTERNATIVE_IDS":[{"NAME":"CMC","ID":"%d"}]}' % (first + n) for n in range(100))
    body = b'{"Data":{"LIST":[' + records + b"]}" + b" " * 30 * MIB + b"}"
    return httpx.Response(200, stream=httpx.ByteStream(body))


def cases() -> Iterator[tuple[str, SourceFile, Callable[[httpx.Request], httpx.Response]]]:
    bomb = gzip.compress(repeated(b"", b" ", 1024 * MIB, b""), 9)
    yield "gzip in gzip", CMC, zipped(bomb, "gzip, gzip")
    yield "a bomb", CMC, zipped(repeated(b"", b" ", 1024 * MIB, b""))
    yield "empty lists", CMC, zipped(repeated(b'{"data":[', b"[],", 31 * MIB, b"[]]}"))
    yield "as many values, parsed leniently", CMC, zipped(repeated(b'{"data":[', b'{"a":1},', 2 * MIB, b'{"b":NaN}]}'))
    rocket = "\N{ROCKET}".encode()
    yield "one wide text", CMC, zipped(repeated(b'{"data":[{"id":1,"name":"' + rocket, b"x", 30 * MIB, b'"}]}'))
    yield (
        "one wide text, parsed leniently",
        CMC,
        zipped(repeated(b'{"data":[{"id":1,"name":"\xff' + rocket, b"x", 15 * MIB, b'"}]}')),
    )
    yield "more text than is parsed leniently", CMC, zipped(repeated(b'{"data":["\xff', b"x", 30 * MIB, b'"]}'))
    yield "large pages", COINDESK, page_of_blanks


def peak_mib() -> int:
    """The peak of this program. getrusage would count the process that started it, too."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert match
    return int(match[1]) // 1024


async def main() -> None:
    for name, file, answer in cases():
        async with open_client({}, transport=httpx.MockTransport(answer)) as client:
            source = Source(file, client=client, clock=utc_now, key=SecretStr("key"))
            try:
                reading = await source.read(5000, timedelta(hours=1))
                outcome = f"{len(reading.rows)} rows"
            except TopcoinsError as exc:
                outcome = str(exc)
        print(peak_mib(), name, outcome[:160], sep="\t", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
