"""What a connection may do to the API: too long, too slow, too much, too many, gone; over a transport in memory."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from query_api.http.body import MOST_BYTES
from query_api.middleware.connection import PIPELINED, UNSTARTED_BYTES, Connection, connection_factory
from query_api.middleware.connection_limits import (
    LEAST_TAKEN,
    LOG_EVERY,
    REQUEST_WITHIN,
    STALLED_FOR,
    ConnectionLimits,
)
from query_api.middleware.request_limits import BODY_BYTES, HEAD_BYTES, HEADERS, URL_BYTES, with_request_limits
from query_api.server import affordable_connections, allowed_files, ignore_faults_of_callers

HEAD = b" HTTP/1.1\r\nhost: t\r\n"
ASK = b"GET /x" + HEAD + b"\r\n"
ALICE, BOB = "192.0.2.1", "192.0.2.2"


class Wire(asyncio.Transport):
    """A caller's end of a connection: what it was sent, and whether it was closed."""

    def __init__(self, host: str = ALICE) -> None:
        super().__init__({"peername": (host, 50_000)})
        self.sent = b""
        self.untaken = self.ignored = 0
        self.lost = False
        self.closed = self.aborted = False

    def write(self, data: Any) -> None:
        if self.lost:  # asyncio ignores these, and logs the sixth
            self.ignored += 1
            assert self.ignored <= 5
            return
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
    """Answers when it is released; records the requests that were cut off."""

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
    """Connections to one app, with its own timer."""

    def __init__(self, most: int = 100, proxies: str = "") -> None:
        self.now = 0.0
        self.app = App()
        self.connections = ConnectionLimits(most, timer=lambda: self.now, is_proxy=proxies.split().__contains__)
        app = with_request_limits(self.app)
        self.config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        self.state = ServerState()

    def connect(self, host: str = ALICE) -> tuple[Connection, Wire]:
        wire = Wire(host)
        make = connection_factory(self.connections)
        one: Connection = make(config=self.config, server_state=self.state, app_state={})
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
        (b"GET /" + b"a" * URL_BYTES + HEAD + b"\r\n", 414),
        (b"GET /?" + b"a" * (URL_BYTES - 1) + HEAD + b"\r\n", 200),
        (b"GET /?" + b"a" * URL_BYTES + HEAD + b"\r\n", 414),
        (b"GET /" + HEAD + b"x: " + b"a" * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /" + HEAD + b"x: " + b"a" * UNSTARTED_BYTES, 431),
        (b"GET /" + HEAD + b"x: a\r\n" * HEADERS + b"\r\n", 431),
        (b"GET /" + HEAD + b"x: a\r\n" * (HEADERS - 1) + b"\r\n", 200),
        (b"GET /" + HEAD + b"x: " + b"a" * (HEAD_BYTES - 100) + b"\r\n\r\n", 200),
        (b"POST /" + HEAD + b"content-length: 99999999\r\n\r\n", 413),
        (b"POST /" + HEAD + b"content-length: %d\r\n\r\n" % (BODY_BYTES + 1), 413),
        (b"POST /v1/prices" + HEAD + b"content-length: %d\r\n\r\n" % (MOST_BYTES["/v1/prices"] + 1), 413),
        (b"POST /" + HEAD + b"content-length: 5\r\n\r\nabcde", 200),
    ],
)
async def test_a_request_that_is_too_long_is_refused_and_one_just_short_enough_is_not(data, status, cut):
    wire = await answered(data, cut)
    assert wire.statuses == [status]
    if status != 200:
        assert wire.closed
        assert b"application/problem+json" in wire.sent
        assert b"x-content-type-options: nosniff" in wire.sent


@pytest.mark.parametrize(
    "data",
    [
        b"POST /" + HEAD + b"content-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\nnonsense\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_a_line_in_the_log(data, caplog):
    with ignore_faults_of_callers():
        wire = await answered(data)
    assert (wire.statuses, wire.closed) == ([400], True)
    assert not caplog.records


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: b\r\nHOST: b\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a/b\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: u@h\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n", 400),
        (b"GET / HTTP/1.0\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost:\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: [::1]:6667\r\n", 200),
        (b"GET / HTTP/1.1\r\nhost: example.com:6667\r\n", 200),
    ],
)
async def test_a_request_names_its_host_once(head, status):
    assert (await answered(head + b"\r\n")).statuses == [status]


@pytest.mark.parametrize("cut", [lambda data: [data], pieces])
async def test_the_body_of_an_address_that_takes_one_does_not_count_as_a_head(cut):
    server = Server()
    server.app.let.clear()
    one, wire = server.connect()
    body = b"a" * (MOST_BYTES["/v1/prices"] - 1000)
    for part in cut(b"POST /v1/prices" + HEAD + b"content-length: %d\r\n\r\n" % len(body) + body):
        one.data_received(part)
        await idle()
    server.app.let.set()
    await idle()
    assert wire.statuses == [200]


async def test_a_body_without_an_end_is_cut():
    one, wire = Server().connect()
    one.data_received(b"POST /" + HEAD + b"transfer-encoding: chunked\r\n\r\n")
    await idle()
    for _ in range(UNSTARTED_BYTES // 1000 + 1):
        if not wire.closed:
            one.data_received(b"3e8\r\n" + b"a" * 1000 + b"\r\n")
    assert wire.closed


@given(st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([ASK, b"\r\n", b"GET / HTTP/1.1\r\n"]))))
async def test_no_bytes_break_a_connection(parts):
    server = Server()
    one, wire = server.connect()
    for part in parts:
        one.data_received(part)
    await idle()
    one.connection_lost(None)
    assert set(wire.statuses) <= {200, 400, 413, 429, 431}
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
    server.later(REQUEST_WITHIN.total_seconds() - 9)
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
    server.later(REQUEST_WITHIN.total_seconds() + 1)
    one.resume_writing()
    server.later(REQUEST_WITHIN.total_seconds() - 1)
    assert not wire.closed
    server.later(1)
    assert wire.closed


@pytest.mark.parametrize("most", [20, 10])
async def test_when_all_connections_are_taken_the_one_that_waited_longest_makes_way(most):
    server = Server(most, proxies=ALICE if most == 10 else "")
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


async def test_when_all_connections_are_busy_one_more_gets_503_and_retry_after():
    server = Server(most=2)
    server.app.let.clear()
    at_work = [server.connect(host) for host in (ALICE, BOB)]
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


@pytest.mark.parametrize("network", [[ALICE], [f"2001:db8:7:{number}::1" for number in range(20)]])
async def test_one_client_takes_at_most_half_of_the_connections(network):
    server = Server(most=10)
    server.app.let.clear()
    wires = []
    for number in range(20):
        one, wire = server.connect(network[number % len(network)])
        if not wire.closed:
            one.data_received(ASK)
        await idle()
        wires.append(wire)
    assert [wire.statuses for wire in wires] == [[]] * 5 + [[503]] * 15
    others = [server.connect(BOB)[1] for _ in range(5)]
    assert not any(wire.closed for wire in others)
    assert len(server.connections) == 10


async def test_a_client_at_its_bound_gives_up_its_own_idle_connection_and_nobody_elses():
    server = Server(most=4)
    (_, theirs), (_, first), (_, second) = (server.connect(host) for host in (BOB, ALICE, ALICE))
    _, third = server.connect(ALICE)
    assert [wire.closed for wire in (theirs, first, second, third)] == [False, True, False, False]


async def test_a_proxy_has_no_bound_of_its_own():
    server = Server(most=10, proxies=ALICE)
    server.app.let.clear()
    for _ in range(10):
        one, wire = server.connect(ALICE)
        one.data_received(ASK)
        await idle()
        assert not wire.closed
    assert server.connect(ALICE)[1].statuses == [503]


async def test_callers_that_are_cut_or_refused_are_logged_at_most_once_a_minute():
    server = Server(most=2)
    for minute in range(3):
        with capture_logs() as events:
            for _ in range(100):
                server.connect()
            for _ in range(30):
                server.later(1)
        assert [event["event"] for event in events] == ["connections at their bound"] * (minute != 1)
    assert LOG_EVERY.total_seconds() == 60


@pytest.mark.parametrize(
    ("wanted", "open_files", "most"), [(800, 1024, 800), (2000, 1024, 976), (5, 40, 1), (9, -1, 9)]
)
def test_a_bound_above_the_limit_of_open_files_is_lowered_and_logged(wanted, open_files, most):
    with capture_logs() as events:
        assert affordable_connections(wanted, open_files) == most
    assert any("HTTP_CONNECTIONS is above" in event["event"] for event in events) == (most < wanted)


@pytest.mark.parametrize(
    ("soft", "hard", "allowed"),
    [(1024, 4096, 2048), (1024, 1500, 1500), (4096, 4096, 4096), (256, -1, 2048), (-1, -1, -1)],
)
def test_the_limit_of_open_files_is_raised_as_far_as_it_is_needed_and_allowed(soft, hard, allowed):
    assert allowed_files(2000, soft, hard) == allowed


async def test_a_caller_that_hangs_up_ends_the_work_for_it_without_a_line_in_the_log(caplog):
    server = Server()
    server.app.let.clear()
    one, wire = server.connect()
    one.data_received(ASK * 3)
    await idle()
    wire.closed = wire.lost = True
    with ignore_faults_of_callers():
        one.connection_lost(None)
        await idle()
    assert (server.app.begun, server.app.cut) == (1, 1)
    assert len(server.state.tasks) == 0
    assert not caplog.records


async def test_work_that_is_cancelled_for_another_reason_is_logged(caplog):
    server = Server()
    server.app.let.clear()
    one, wire = server.connect()
    one.data_received(ASK)
    await idle()
    for task in server.state.tasks:
        task.cancel()
    await idle()
    assert wire.statuses == [500]
    assert "Exception in ASGI application" in caplog.text


async def test_requests_sent_ahead_are_answered_in_order_up_to_a_number():
    one, wire = Server().connect()
    one.data_received(ASK * PIPELINED)
    for _ in range(100):
        await idle()
    assert wire.statuses == [200] * PIPELINED
    one.data_received(ASK * (PIPELINED + 1))
    assert (wire.statuses[PIPELINED:], wire.closed) == ([429], True)
