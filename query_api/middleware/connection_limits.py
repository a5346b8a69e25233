"""Open connections, bounded, and each held to its time: what uvicorn's protocol leaves to others.

A connection without a request has `HEAD_WITHIN` to send a whole one; one that takes less than `LEAST_TAKEN` of its
answer within `STALLED_FOR` is cut. At the bound the one that has waited longest for a request makes way, so connections
that only stay open keep nobody out.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from query_api.http.problems import problem
from query_api.middleware.access import with_security_headers

HEAD_WITHIN = timedelta(seconds=10)
STALLED_FOR = timedelta(seconds=30)
LEAST_TAKEN = 32 * 2**10
SWEEP_EVERY = timedelta(seconds=1)
URL_BYTES = 16 * 2**10
HEAD_BYTES = 32 * 2**10
BODY_BYTES = 64 * 2**10
"""Of a body nobody asked for: this much is read and thrown away."""
PIPELINED = 64
"""Requests of one connection that wait for the one before."""
RETRY_AFTER_S = "5"

TASK = "topcoins.task"
GONE = "topcoins.gone"


class Connections:
    """All of a server's connections, at most `most`."""

    def __init__(self, most: int, *, timer: Callable[[], float]) -> None:
        self._most = most
        self._timer = timer
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, float] = {}
        self._stalled: dict[Connection, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def protocol(self) -> Any:
        """What uvicorn calls for each new connection."""
        return partial(Connection, self)

    def admit(self, one: "Connection") -> bool:
        """Take one in, if need be in the place of the one that has waited longest; False when all are at work."""
        if len(self._open) >= self._most:
            if not self._waiting:
                return False
            oldest = next(iter(self._waiting))
            self.forget(oldest)
            oldest.cut()
        self._open.add(one)
        self.waits(one)
        return True

    def waits(self, one: "Connection") -> None:
        """It may send its next request now."""
        self._waiting.pop(one, None)
        self._waiting[one] = self._timer()

    def works(self, one: "Connection") -> None:
        """Its request is whole."""
        self._waiting.pop(one, None)

    def stalls(self, one: "Connection") -> None:
        """It takes no more of its answer."""
        self._stalled[one] = (self._timer(), one.unwritten)

    def flows(self, one: "Connection") -> None:
        """It takes its answer again."""
        self._stalled.pop(one, None)

    def forget(self, one: "Connection") -> None:
        """It is closed."""
        self._open.discard(one)
        self._waiting.pop(one, None)
        self._stalled.pop(one, None)

    def sweep(self) -> None:
        """Close those whose time is over."""
        now = self._timer()
        slow, stalled = now - HEAD_WITHIN.total_seconds(), now - STALLED_FOR.total_seconds()
        for one in [one for one, since in self._waiting.items() if since <= slow]:
            self.works(one)
            one.give_up()
        for one, (since, unwritten) in list(self._stalled.items()):
            if since <= stalled and unwritten - one.unwritten < LEAST_TAKEN:
                self.forget(one)
                one.cut()
            elif since <= stalled:
                self.stalls(one)

    async def watch(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY.total_seconds())
            self.sweep()


class Connection(HttpToolsProtocol):
    """One connection: uvicorn's protocol with limits. A caller that hangs up ends the work for it."""

    def __init__(self, among: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._among = among
        self._running: RequestResponseCycle | None = None
        self._in_head = True
        self._unparsed = 0
        self._head = 0
        self._body = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has come."""
        super().connection_made(transport)
        if not self._among.admit(self):
            self._refuse(503, "all connections are taken; ask again soon")

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone, or was sent away."""
        super().connection_lost(exc)
        self._among.forget(self)
        if self._running and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells only the last one that was asked for
            scope: Scope = self._running.scope  # type: ignore[assignment]
            scope[GONE] = True
            if task := scope.get(TASK):
                task.cancel()

    def data_received(self, data: bytes) -> None:
        """More of a request, or of several."""
        if self.transport.is_closing():
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self._in_head and self._unparsed > HEAD_BYTES:
            self._refuse(431, f"the request's head is longer than {HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head = self._body = 0

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._head += len(url)
        super().on_url(url)
        if len(self.url) > URL_BYTES:
            self._refuse(414, f"the address is longer than {URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line."""
        self._head += len(name) + len(value)
        if self._head > HEAD_BYTES:
            self._refuse(431, f"the request's head is longer than {HEAD_BYTES} bytes")
            return
        super().on_header(name, value)
        if name.lower() == b"content-length" and value.isdigit() and int(value[:20]) > BODY_BYTES:
            self._refuse(413, "nothing here takes a body")

    def on_headers_complete(self) -> None:
        """A head is whole: from here on it is our turn."""
        self._in_head, self._unparsed = False, 0
        if self.transport.is_closing():
            return
        if len(self.pipeline) >= PIPELINED:
            self.cycle.keep_alive = False  # the last one that is answered
            return
        self._among.works(self)
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        """A part of a body, which nobody asked for."""
        self._body += len(body)
        if self._body > BODY_BYTES:
            self.transport.abort()
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes are another head."""
        self._in_head, self._unparsed = True, 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is written: the caller may ask again."""
        self._running = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        if not self._running:
            self._among.waits(self)

    def pause_writing(self) -> None:
        """The caller does not take what is written."""
        super().pause_writing()
        self._among.stalls(self)

    def resume_writing(self) -> None:
        """The caller takes it again."""
        super().resume_writing()
        self._among.flows(self)
        if not self._running:
            self._among.waits(self)

    @property
    def unwritten(self) -> int:
        """Bytes that the caller has not taken yet."""
        return self.transport.get_write_buffer_size()

    def give_up(self) -> None:
        """Its time for a request is over, unless it is still busy with the answer before."""
        if self.flow.write_paused:
            return
        if self._unparsed:
            self._refuse(408, f"no whole request within {HEAD_WITHIN.total_seconds():g} s")
        else:
            self.transport.close()
            self._among.stalls(self)

    def cut(self) -> None:
        """Make way."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "this is no HTTP request")

    def _unsupported_upgrade_warning(self) -> None:
        """Not worth a line in the log for each: HTTP/1.1 answers."""

    def _refuse(self, status: int, why: str) -> None:
        """Answer without asking the app, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            headers = {"connection": "close"}
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                headers["retry-after"] = RETRY_AFTER_S
            told = problem(status, why, headers=headers, title=HTTPStatus(status).phrase)
            head = [b"%s: %s\r\n" % pair for pair in with_security_headers(told.raw_headers)]
            line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
            self.transport.write(b"".join([line, *head, b"\r\n", bytes(told.body)]))
        self._among.stalls(self)  # should it not even take this
        self.transport.close()


class HangUp:
    """An ASGI middleware by which a `Connection` ends the work for a caller that has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        scope[TASK] = asyncio.current_task()
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not scope.get(GONE):
                raise
