"""Several processes that answer on the same ports: one that is killed is replaced, all end together."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.flow.processes import Api, eventually, listens

pytestmark = pytest.mark.stack


def workers(api: Api) -> set[int]:
    """The processes that answer: the children of the one that was started."""
    children = Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children").read_text().split()
    return {int(pid) for pid in children if is_worker(int(pid))}


def is_worker(pid: int) -> bool:
    try:
        return b"query_api" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def health_checks(api: Api) -> float:
    name = 'topcoins_http_requests_total{route="/healthz",status="200"} '
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(lines[0].split()[-1]) if lines else 0


def test_two_workers_answer_on_both_ports_are_replaced_count_together_and_end_together(fresh_stage):
    api = fresh_stage.api(HTTP_WORKERS=2, LOG_FORMAT="json")
    api.answers("/healthz")
    eventually(lambda: len(workers(api)) == 2)
    asked = 1
    for _ in range(60):  # each over its own connection, so that both workers answer some
        for port in (api.port, api.safe_port):
            assert api.get("/healthz", port=port).status_code == 200
            asked += 1
    eventually(lambda: health_checks(api) == asked)  # each worker shares its counts once a second
    assert api.get("/metrics").text.count("# TYPE topcoins_store_up gauge") == 1

    killed, other = sorted(workers(api))
    os.kill(killed, signal.SIGKILL)
    assert api.process.event("a worker ended; another one starts", pid=killed)["code"] == -signal.SIGKILL
    eventually(lambda: len(workers(api)) == 2)
    assert other in workers(api)
    for port in (api.port, api.safe_port):
        for _ in range(10):
            assert api.get("/healthz", port=port).status_code == 200
            asked += 1
    eventually(lambda: health_checks(api) == asked)

    with socket.create_connection(("127.0.0.1", api.port)) as stream:
        stream.sendall(b"GET /v1/stream HTTP/1.1\r\nhost: t\r\n\r\n")
        assert stream.recv(4096).startswith(b"HTTP/1.1 200 ")
        api.process.send(signal.SIGTERM)
        assert api.process.ends() == 0
    assert fresh_stage.alive() == []
    assert not listens(api.port)
    assert "Traceback" not in api.process.out + api.process.err


def test_workers_end_when_their_parent_is_killed(stage):
    api = stage.api(HTTP_WORKERS=2)
    api.answers("/healthz")
    eventually(lambda: len(workers(api)) == 2)
    api.process.send(signal.SIGKILL)
    api.process.ends()
    eventually(lambda: stage.alive() == [])
    assert not listens(api.port)


def test_a_wrong_setting_ends_all_workers_with_one_sentence(stage):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = stage.service("query_api", HTTP_WORKERS=2, HTTP_SAFE_PORT=taken.getsockname()[1])
        assert process.ends() == 1
    (sentence,) = process.err.splitlines()
    assert "can't be listened on" in sentence
