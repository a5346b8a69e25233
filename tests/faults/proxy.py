"""A TCP proxy that fails on purpose, in front of InfluxDB or of the upstreams."""

import asyncio
from collections.abc import Callable
from typing import Literal, Self

Mode = Literal["through", "refuse", "hang", "reset", "cut", "delay", "error"]
"""What becomes of a request: passed on; no connection; no answer; the connection reset before or within the answer;
an answer that comes late; an error of the server's instead of one."""

CHUNK = 65536
LATE_S = 0.05
CUT_AFTER = 40

STANDING_IN = {
    "garbage": b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ngarbage",
    "not UTF-8": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe",
    "a page of a portal": b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
    "a redirect": b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n",
    "no HTTP": b"what?\r\n\r\n",
}
"""What may answer in a server's place."""

Meant = Callable[[bytes], bool]
"""Whether a request, by its first bytes, is one that is to fail."""


def all_of_them(request: bytes) -> bool:
    """Each request."""
    return True


class Proxy:
    """Listens on loopback and passes on to `port`, but for the requests that are meant to fail in the set mode."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._work: set[asyncio.Task[None]] = set()
        self.port = 0
        self.mode: Mode = "through"
        self.meant: Meant = all_of_them
        self.error = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
        self.met = 0
        self.cookies = 0
        """How many requests carried one."""

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._close()
        await asyncio.gather(*self._work)

    async def fail(self, mode: Mode, meant: Meant = all_of_them, *, error: bytes | None = None) -> None:
        """From now on the requests that are meant meet this; `through` ends it."""
        self.mode, self.meant, self.met = mode, meant, 0
        self.error = error or self.error
        if mode == "refuse":
            await self._close()
        elif self._server is None:
            await self._listen()
        else:
            self._hang_up()  # a kept connection would be past the check

    def lead_to(self, port: int) -> None:
        """From now on pass on to another server."""
        self._behind = port
        self._hang_up()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        self._server = None
        self._hang_up()
        await asyncio.sleep(0)

    def _hang_up(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        behind: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            answers, behind = await asyncio.open_connection("127.0.0.1", self._behind)
            while request := await reader.read(CHUNK):
                failing = self.mode != "through" and self.meant(request)
                self.met += failing
                self.cookies += b"\r\ncookie:" in request.lower()
                if failing and self.mode in ("hang", "reset", "error"):
                    await self._refused(reader, writer)
                    return
                behind.write(request)
                await behind.drain()
                if back is None:
                    back = asyncio.create_task(self._back(answers, writer))
        except OSError:
            pass
        finally:
            if behind:
                behind.transport.abort()
            if back:
                await back
            self._open.discard(writer)
            for end in (writer, behind):
                if end:
                    end.transport.abort()

    async def _refused(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            while await reader.read(CHUNK):
                pass
        elif self.mode == "error":
            writer.write(self.error)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _back(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while answer := await answers.read(CHUNK):
                if self.mode == "delay":
                    await asyncio.sleep(LATE_S)
                if self.mode == "cut" and self.met:
                    writer.write(answer[: min(CUT_AFTER, len(answer) // 2)])
                    await writer.drain()
                    break
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        writer.close()
