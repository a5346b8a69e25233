"""Many callers of one API at a time: exports, idle streams, and readers that take almost nothing."""

import asyncio
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

EXPORTS, STREAMS, SLOW_READERS = 12, 100, 20
CLIENTS = [f"127.0.0.{number}" for number in range(10, 30)]
"""Addresses the callers come from: one caller alone would be refused at its own bounds."""
FORMATS = ("parquet", "csv", "parquet", "ndjson")
SLOW_CHUNK = 512
ENDS = {"csv": b"#end", "ndjson": b'{"end":true', "parquet": b"PAR1"}


class Crowd:
    """All of them at once, until the end of the block. `exports` counts those that were received completely."""

    def __init__(self, port: int, span: str) -> None:
        self._port = port
        self._span = span
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self.exports = 0

    async def __aenter__(self) -> Self:
        async with asyncio.TaskGroup() as opening:
            for number in range(STREAMS):
                opening.create_task(self._open_stream(number))
        for number in range(SLOW_READERS):
            self._start(self._read_slowly(number))
        for number in range(EXPORTS):
            self._start(self._export_again_and_again(number))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        for end in ends:
            if not isinstance(end, asyncio.CancelledError):
                raise AssertionError(f"one of the crowd ended: {end!r}")

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _open_stream(self, number: int) -> None:
        await self._ask(number, "/v1/stream")

    async def _read_slowly(self, number: int) -> None:
        while True:
            reader = await self._ask(number, f"/v1/export?{self._span}&format={FORMATS[number % len(FORMATS)]}")
            while await reader.read(SLOW_CHUNK):  # noqa: ASYNC110
                await asyncio.sleep(0.25)

    async def _export_again_and_again(self, number: int) -> None:
        format = FORMATS[number % len(FORMATS)]
        while True:
            path = f"/v1/export?{self._span}&format={format}&top={100 - self.exports % 50}"
            body = await (await self._ask(number, path, close=True)).read()
            assert ENDS[format] in body[-200:], body[-200:]
            self.exports += 1

    async def _ask(self, number: int, path: str, *, close: bool = False) -> asyncio.StreamReader:
        """A reader behind the head of a response with 200."""
        client = CLIENTS[number % len(CLIENTS)]
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        try:
            small.bind((client, 0))
            await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(sock=small, limit=4096)
        except BaseException:  # such as the end of the crowd: nobody else would close it
            small.close()
            raise
        self._stack.callback(writer.close)
        how = "close" if close else "keep-alive"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: crowd\r\nconnection: {how}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head[:20], head
        return reader
