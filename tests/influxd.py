"""A real InfluxDB for the tests marked `influx`: the one named by the environment, or a private one, started here.

A pytest plugin. Without a server such tests are skipped; with TOPCOINS_TEST_REQUIRE_INFLUX=1 they fail instead.
"""

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from pydantic import SecretStr

from lib.clock import Clock
from lib.store.influx import InfluxStore
from tests.programs import find_program

PATIENCE = 20.0
"""Seconds a private server may take until it answers."""
VERIFIES = False
"""Plain HTTP has nothing to verify, and to read the certificates costs more than to ask."""


@dataclass(frozen=True)
class Influxd:
    """A server with an operator's token, to make buckets on."""

    url: str
    org: str
    token: str

    def api(self, method: str, path: str, **asked: Any) -> Any:
        """What the server's API answers; raises unless it agrees."""
        headers = {"Authorization": f"Token {self.token}"}
        asked |= {"headers": headers, "timeout": PATIENCE, "verify": VERIFIES}
        answer = httpx.request(method, f"{self.url}/api/v2/{path}", **asked)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @property
    def org_id(self) -> str:
        """The organisation's id."""
        found: str = self.api("GET", "orgs", params={"org": self.org})["orgs"][0]["id"]
        return found

    def make_bucket(self, name: str, retention: timedelta = timedelta()) -> None:
        """A bucket that keeps its data for ever, or for the retention."""
        rules = [{"type": "expire", "everySeconds": int(retention.total_seconds())}] if retention else []
        self.api("POST", "buckets", json={"orgID": self.org_id, "name": name, "retentionRules": rules})

    def drop_bucket(self, name: str) -> None:
        """Without trace, if there is one."""
        for bucket in self.api("GET", "buckets", params={"name": name})["buckets"]:
            self.api("DELETE", f"buckets/{bucket['id']}")


@dataclass(frozen=True)
class Bucket:
    """A bucket of a test's own, with its hourly companion."""

    server: Influxd
    name: str

    @property
    def token(self) -> SecretStr:
        """One that may do everything."""
        return SecretStr(self.server.token)

    def store(self, clock: Clock, **named: Any) -> InfluxStore:
        """A store on it; the arguments are InfluxStore's."""
        server = self.server
        asked: dict[str, Any] = {"org": server.org, "bucket": self.name, "token": self.token, "clock": clock} | named
        return InfluxStore(asked.pop("url", server.url), **asked)


@pytest.fixture(scope="session")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """The server of this test process."""
    if url := os.environ.get("TOPCOINS_TEST_INFLUX_URL"):
        org = os.environ.get("TOPCOINS_TEST_INFLUX_ORG", "topcoins")
        yield Influxd(url.rstrip("/"), org, os.environ.get("TOPCOINS_TEST_INFLUX_TOKEN", ""))
        return
    with fresh_influxd(tmp_path_factory.mktemp("influxd")) as url:
        yield set_up(url)


@pytest.fixture
def influx_bucket(influxd: Influxd) -> Iterator[Bucket]:
    """A bucket for one test."""
    bucket = Bucket(influxd, f"test_{uuid.uuid4().hex}")
    names = (bucket.name, f"{bucket.name}_hourly")
    for name in names:
        influxd.make_bucket(name)
    yield bucket
    for name in names:
        influxd.drop_bucket(name)


@contextmanager
def fresh_influxd(folder: Path) -> Iterator[str]:
    """The address of a private server that is not set up yet, with its files in the folder."""
    with PrivateServer(folder) as server:
        yield server.url


class PrivateServer:
    """A server with its files in a folder: one that was killed starts again on them, at the same address."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._folder = folder
        self._log = folder / "log"
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns once it answers."""
        command = [
            _program(),
            f"--bolt-path={self._folder / 'influxd.bolt'}",
            f"--sqlite-path={self._folder / 'influxd.sqlite'}",
            f"--engine-path={self._folder / 'engine'}",
            f"--http-bind-address=127.0.0.1:{self._port}",
            "--reporting-disabled",
            "--pprof-disabled",
            "--log-level=error",
        ]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INFLUXD_")}
        environ["GOGC"] = "300"  # as compose.yaml has it
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environ, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            _await_ready(self.url, self._process, self._log)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """With SIGKILL: it has no time to put anything in order."""
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        self._process.send_signal(number)


def set_up(url: str) -> Influxd:
    """A fresh server with an organisation and an operator's token, made the plain way."""
    token = uuid.uuid4().hex
    asked = {"username": "admin", "password": uuid.uuid4().hex, "org": "topcoins", "bucket": "first", "token": token}
    httpx.post(f"{url}/api/v2/setup", json=asked, timeout=PATIENCE, verify=VERIFIES).raise_for_status()
    return Influxd(url, "topcoins", token)


def _program() -> str:
    return find_program("influxd", "influxd", required="TOPCOINS_TEST_REQUIRE_INFLUX")


def _await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    late = time.monotonic() + PATIENCE
    while time.monotonic() < late:
        if process.poll() is not None:
            pytest.fail(f"influxd ended: {log.read_text('utf-8')[-2000:]}")
        try:
            if httpx.get(f"{url}/ready", timeout=1, verify=VERIFIES).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    pytest.fail(f"influxd does not answer after {PATIENCE:.0f} s: {log.read_text('utf-8')[-2000:]}")
