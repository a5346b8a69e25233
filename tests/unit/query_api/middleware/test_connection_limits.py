"""What a connection may do to the API: too long, too slow, too much, too many, gone; over a transport in memory."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from query_api.middleware.connection_limits import (
    BODY_BYTES,
    HEAD_BYTES,
    HEAD_WITHIN,
    LEAST_TAKEN,
    PIPELINED,
    STALLED_FOR,
    URL_BYTES,
    Connection,
    Connections,
    HangUp,
)

ASK = b"GET /x HTTP/1.1\r\nhost: t\r\n\r\n"


class Wire(asyncio.Transport):
    """A caller's end of a connection: what it was sent, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.untaken = 0
        self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.sent += bytes(data)

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    @property
    def statuses(self) -> list[int]:
        return [int(code) for code in re.findall(rb"HTTP/1.1 (\d+) ", self.sent)]


class App:
    """Answers when it is let; knows who was cut off."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()
        self.begun = self.cut = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.cut += 1
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Server:
    """Connections to one app, with a timer of its own."""

    def __init__(self, most: int = 100) -> None:
        self.now = 0.0
        self.app = App()
        self.connections = Connections(most, timer=lambda: self.now)
        self.config = uvicorn.Config(HangUp(self.app), log_config=None, access_log=False, lifespan="off", ws="none")
        self.state = ServerState()

    def connect(self) -> tuple[Connection, Wire]:
        wire = Wire()
        one: Connection = self.connections.protocol()(config=self.config, server_state=self.state, app_state={})
        one.connection_made(wire)
        return one, wire

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.connections.sweep()


async def idle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def answered(data: bytes, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> Wire:
    one, wire = Server().connect()
    for part in cut(data):
        if not wire.closed:
            one.data_received(part)
    await idle()
    return wire


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 1000] for at in range(0, len(data), 1000)]


@pytest.mark.parametrize("cut", [lambda data: [data], pieces])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (ASK, 200),
        (b"GET /" + b"a" * URL_BYTES + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"a" * (URL_BYTES - 1) + b" HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * (HEAD_BYTES - 100) + b"\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabcde", 200),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"\r\n\r\n\r\nnonsense\r\n", 400),
    ],
)
async def test_a_request_that_is_too_long_is_refused_and_one_just_short_enough_is_not(data, status, cut):
    wire = await answered(data, cut)
    assert wire.statuses == [status]
    if status != 200:
        assert wire.closed
        assert b"application/problem+json" in wire.sent
        assert b"x-content-type-options: nosniff" in wire.sent


async def test_a_body_without_an_end_is_cut():
    one, wire = Server().connect()
    one.data_received(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(BODY_BYTES // 1000 + 1):
        if not wire.closed:
            one.data_received(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
    assert wire.closed


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([ASK, b"\r\n", b"GET / HTTP/1.1\r\n"]))))
async def test_whatever_bytes_come_nothing_breaks(parts):
    server = Server()
    one, wire = server.connect()
    for part in parts:
        one.data_received(part)
    await idle()
    one.connection_lost(None)
    assert set(wire.statuses) <= {200, 400, 413}
    assert len(server.connections) == 0


async def test_a_head_that_takes_too_long_is_refused_and_a_silent_connection_closed():
    server = Server()
    (slow, slow_wire), (_, silent), (quick, quick_wire) = (server.connect() for _ in range(3))
    slow.data_received(b"GET /x?")
    quick.data_received(ASK)
    await idle()
    for _ in range(9):
        server.later(1)
        slow.data_received(b"a")  # a byte now and then wins no time
    quick.data_received(ASK)
    await idle()
    server.later(HEAD_WITHIN.total_seconds() - 9)
    assert (slow_wire.statuses, slow_wire.closed) == ([408], True)
    assert (silent.sent, silent.closed) == (b"", True)
    assert (quick_wire.statuses, quick_wire.closed) == ([200, 200], False)


async def test_work_that_takes_long_is_not_cut():
    server = Server()
    server.app.let.clear()
    one, wire = server.connect()
    one.data_received(ASK)
    await idle()
    server.later(3600)
    assert not wire.closed
    server.app.let.set()
    await idle()
    assert wire.statuses == [200]


async def test_a_caller_that_does_not_take_its_answer_is_cut():
    server = Server()
    one, wire = server.connect()
    one.data_received(ASK)
    await idle()
    wire.untaken = 10**6
    one.pause_writing()
    server.later(STALLED_FOR.total_seconds() - 1)
    wire.untaken -= LEAST_TAKEN
    server.later(1)
    assert not wire.closed
    wire.untaken -= LEAST_TAKEN - 1
    server.later(STALLED_FOR.total_seconds())
    assert wire.aborted


async def test_a_caller_that_took_its_answer_slowly_has_its_time_for_the_next_request():
    server = Server()
    one, wire = server.connect()
    one.data_received(ASK)
    await idle()
    one.pause_writing()
    server.later(HEAD_WITHIN.total_seconds() + 1)
    one.resume_writing()
    server.later(HEAD_WITHIN.total_seconds() - 1)
    assert not wire.closed
    server.later(1)
    assert wire.closed


async def test_when_all_connections_are_taken_the_one_that_waited_longest_makes_way():
    server = Server(most=10)
    wires = []
    for _ in range(1000):
        one, wire = server.connect()
        one.data_received(b"GET /slow HTT")
        wires.append(wire)
        server.now += 0.001
    assert len(server.connections) == 10
    assert [wire.closed for wire in wires] == [True] * 990 + [False] * 10
    one, wire = server.connect()
    one.data_received(ASK)
    await idle()
    assert wire.statuses == [200]


async def test_when_all_connections_are_at_work_one_more_is_told_to_come_back():
    server = Server(most=2)
    server.app.let.clear()
    at_work = [server.connect() for _ in range(2)]
    for one, _ in at_work:
        one.data_received(ASK)
    await idle()
    _, wire = server.connect()
    assert (wire.statuses, wire.closed) == ([503], True)
    assert b"retry-after: 5\r\n" in wire.sent
    at_work[0][0].connection_lost(None)
    assert not server.connect()[1].closed
    server.app.let.set()
    await idle()
    assert at_work[1][1].statuses == [200]


async def test_a_caller_that_hangs_up_ends_the_work_for_it_without_a_word_in_the_log(caplog):
    server = Server()
    server.app.let.clear()
    one, wire = server.connect()
    one.data_received(ASK * 3)
    await idle()
    wire.close()
    one.connection_lost(None)
    await idle()
    assert (server.app.begun, server.app.cut) == (1, 1)
    assert len(server.state.tasks) == 0
    assert not caplog.records


async def test_requests_sent_ahead_are_answered_in_order_up_to_a_number():
    one, wire = Server().connect()
    one.data_received(ASK * 1000)
    for _ in range(100):
        await idle()
    assert len(wire.statuses) == PIPELINED + 1
    assert wire.closed
