"""The API as a process under hostile callers: it goes on answering the others, and shows no key."""

import os
import socket
from contextlib import ExitStack

import pytest

from lib.access import new_key
from tests.flow.processes import WITHIN_S, Api, eventually

pytestmark = pytest.mark.stack

MOST = 40
"""Connections the API of these tests takes; many more come."""
CROWD = 800
KEY = new_key("canary")


def connection(api: Api, sends: bytes) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", api.port), timeout=WITHIN_S)
    opened.sendall(sends)
    return opened


def answered(api: Api, asked: str) -> bytes:
    with connection(api, asked.encode()) as opened:
        return received(opened)


def received(opened: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    heard = b""
    while chunk := opened.recv(65536):
        heard += chunk
    return heard


def descriptors(api: Api) -> int:
    return len(os.listdir(f"/proc/{api.process.pid}/fd"))


def test_a_crowd_that_never_finishes_a_request_keeps_nobody_out_and_is_sent_away(stage):
    api = stage.api(HTTP_CONNECTIONS=MOST)
    api.answers("/readyz")  # by now the store's files are open
    before, memory = descriptors(api), api.process.memory
    with ExitStack() as stack:
        for number in range(CROWD):
            stack.enter_context(connection(api, b"GET /healthz HTTP/1.1\r\nx: "))
            if number % 100 == 0:
                assert api.get("/healthz").status_code == 200
        assert api.get("/readyz").status_code == 200
        assert descriptors(api) <= before + MOST
        assert api.process.memory - memory < 50 * 2**20
        last = stack.enter_context(connection(api, b"GET /slow HTTP/1.1\r\nx: "))
        assert received(last).startswith(b"HTTP/1.1 408 ")
    eventually(lambda: descriptors(api) <= before + 1)


def test_no_proxy_header_is_believed_unless_its_sender_is_named(stage):
    alone = stage.api(RATE_LIMIT="1/day")
    behind = stage.api(RATE_LIMIT="1/day", TRUSTED_PROXIES="127.0.0.1")
    for api, codes in ((alone, [b"404", b"429", b"429"]), (behind, [b"404", b"404", b"429"])):
        api.answers("/healthz")
        heard = [
            answered(api, f"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx-forwarded-for: {who}\r\n\r\n")
            for who in ("10.0.0.1", "10.0.0.2", "10.0.0.1")
        ]
        assert [answer.split()[1] for answer in heard] == codes


def test_a_clients_key_is_in_no_answer_log_file_or_process_list(stage):
    api = stage.api(CLIENT_KEYS=KEY.line, LOG_LEVEL="debug", LOG_FORMAT="json")
    api.answers("/healthz")
    wrong = KEY.key[:-1] + "~"
    top = stage.topcoins("top", "--url", f"http://127.0.0.1:{api.port}", CLIENT_KEY=KEY.key)
    assert top.ends() == 3
    assert "nothing is stored yet" in top.err
    for header in (f"authorization: Bearer {KEY.key}", f"x-api-key: {KEY.key}", f"x-api-key: {wrong}"):
        for path in ("/", "/v1/status", "/metrics", f"/?key={KEY.key}", "/none"):
            answer = answered(api, f"GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{header}\r\n\r\n")
            assert (answer.split()[1] == b"401") == (wrong in header)
            if "?key=" not in path:
                assert KEY.key[:-1].encode() not in answer
    assert not [command for command in stage.alive() if KEY.key in command]
    files = [path for path in stage.folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if KEY.key[:-1].encode() in path.read_bytes()]
