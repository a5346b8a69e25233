"""One connection: limits around uvicorn's protocol, of which only the interface of `asyncio.Protocol` is used."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from query_api.http.client import UNKNOWN, network_of
from query_api.http.problems import problem
from query_api.middleware.connection_limits import REQUEST_WITHIN, ConnectionLimits
from query_api.middleware.security_headers import with_security_headers

UNSTARTED_BYTES = 96 * 2**10
"""Bytes that may arrive without a request that starts: a head, or a body that nobody asked for."""
PIPELINED = 64
"""Requests that may arrive at once."""
END_OF_HEAD = b"\r\n\r\n"
SHORTEST = len(b"GET / HTTP/1.0\r\n\r\n")
RETRY_AFTER_S = "5"

CONNECTION: ContextVar["Connection | None"] = ContextVar("connection", default=None)
"""The connection of a request: uvicorn starts a request's task while the connection hands it bytes."""


def connection_factory(limits: ConnectionLimits) -> Any:
    """What `uvicorn.Config(http=...)` takes."""
    return lambda **uvicorn: Connection(limits, lambda: AutoHTTPProtocol(**uvicorn))


class Connection(asyncio.Protocol):
    """Passes everything on to an HTTP protocol, within the limits. A caller that hangs up ends the work for it."""

    def __init__(self, limits: ConnectionLimits, http: Callable[[], asyncio.Protocol]) -> None:
        self.client = self.host = UNKNOWN
        self.lost = False
        self._limits = limits
        self._make_http = http
        self._http: asyncio.Protocol | None = None
        self._transport: Any = None
        self._request: asyncio.Task[Any] | None = None
        self._unstarted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        self._transport = transport
        if peer := transport.get_extra_info("peername"):
            self.host = str(peer[0])
            self.client = network_of(self.host)
        if self._limits.admit(self):
            self._http = self._make_http()
            self._http.connection_made(transport)
        else:
            self.refuse(503, "no connection is free for this client; ask again soon", {"retry-after": RETRY_AFTER_S})

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone, or was cut."""
        self.lost = True
        self._limits.forget(self)
        if self._http:
            self._http.connection_lost(exc)
        if self._request:
            self._request.cancel()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or of several."""
        if self._transport.is_closing() or not self._http:
            return
        if not self._request:  # while one runs, uvicorn takes no more than it can pass on
            end = data.find(END_OF_HEAD)
            self._unstarted += len(data) if end < 0 else end
        if self._unstarted > UNSTARTED_BYTES:
            self.refuse(431, f"{UNSTARTED_BYTES} bytes came without a whole request, the most that may")
        elif len(data) > PIPELINED * SHORTEST and data.count(b" HTTP/1.") > PIPELINED:
            self.refuse(429, f"more than {PIPELINED} requests came at once; wait for their answers")
        else:
            token = CONNECTION.set(self)
            self._http.data_received(data)
            CONNECTION.reset(token)

    def eof_received(self) -> bool | None:
        """The caller sends no more; the connection closes."""
        return self._http.eof_received() if self._http else None

    def pause_writing(self) -> None:
        """The caller does not take what is written."""
        if self._http:
            self._http.pause_writing()
        self._limits.stalls(self)

    def resume_writing(self) -> None:
        """The caller takes it again."""
        if self._http:
            self._http.resume_writing()
        self._limits.flows(self)
        if not self._request:
            self._limits.waits(self)

    def begin(self, request: "asyncio.Task[Any] | None") -> None:
        """A request has arrived, and this task answers it."""
        self._request = request
        self._unstarted = 0
        self._limits.works(self)

    def end(self) -> None:
        """The request is answered: the next one may come."""
        self._request = None
        if not self.lost:
            self._limits.waits(self)

    @property
    def unwritten(self) -> int:
        """Bytes that the caller has not taken yet."""
        return int(self._transport.get_write_buffer_size())

    def cut(self) -> None:
        """Close at once."""
        self._transport.abort()

    def end_waiting(self) -> None:
        """The time to send a request is over."""
        if self._unstarted:
            self.refuse(408, f"no whole request came within {REQUEST_WITHIN.total_seconds():g} s")
        else:
            self._close()

    def refuse(self, status: int, why: str, headers: dict[str, str] | None = None) -> None:
        """Answer in the place of the app, unless an answer is under way, and close."""
        if not self._request:
            phrase = HTTPStatus(status).phrase
            answer = problem(status, why, headers={"connection": "close", **(headers or {})}, title=phrase)
            lines = [b"%s: %s\r\n" % header for header in with_security_headers(answer.raw_headers)]
            start = f"HTTP/1.1 {status} {phrase}\r\n".encode()
            self._transport.write(b"".join([start, *lines, b"\r\n", bytes(answer.body)]))
        self._close()

    def _close(self) -> None:
        """Close once everything is written; a caller that does not take it is cut later."""
        self._transport.close()
        self._limits.stalls(self)
