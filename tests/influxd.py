"""A real InfluxDB for the tests marked `influx`: the one named by the environment, or a private one, started here.

A pytest plugin. Without a server such tests are skipped; with TOPCOINS_TEST_REQUIRE_INFLUX=1 they fail instead.
"""

import os
import signal
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from lib.clock import Clock
from lib.store.influx import InfluxStore
from lib.store.influx.server import Server
from tests.ports import free_port
from tests.programs import PrivateProgram, find_program

PATIENCE = 60.0
"""Seconds a server may take until it answers: other tests run beside it."""
_WITHIN = timedelta(seconds=PATIENCE)
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

    def connect(self) -> Server:
        """The server, as a store has it."""
        return Server(self.server.url, org=self.server.org, token=self.token, timeout=_WITHIN)

    def store(self, clock: Clock, **named: Any) -> InfluxStore:
        """A store on it; the arguments are InfluxStore's."""
        server = self.server
        own = {"org": server.org, "bucket": self.name, "token": self.token, "clock": clock, "timeout": _WITHIN}
        asked: dict[str, Any] = own | named
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


class PrivateServer(PrivateProgram):
    """InfluxDB's server."""

    name = "influxd"
    patience = PATIENCE

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        self._process.send_signal(number)

    def _command(self) -> Sequence[str]:
        return [
            find_program("influxd", "influxd", required="TOPCOINS_TEST_REQUIRE_INFLUX"),
            f"--bolt-path={self._folder / 'influxd.bolt'}",
            f"--sqlite-path={self._folder / 'influxd.sqlite'}",
            f"--engine-path={self._folder / 'engine'}",
            f"--http-bind-address=127.0.0.1:{self._port}",
            "--reporting-disabled",
            "--pprof-disabled",
            "--log-level=error",
        ]

    def _environ(self) -> Mapping[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("INFLUXD_")}
        return environ | {"GOGC": "300"}  # as compose.yaml has it

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=1, verify=VERIFIES).is_success
        except httpx.TransportError:
            return False


def set_up(url: str) -> Influxd:
    """A fresh server with an organisation and an operator's token, made the plain way."""
    token = uuid.uuid4().hex
    asked = {"username": "admin", "password": uuid.uuid4().hex, "org": "topcoins", "bucket": "first", "token": token}
    httpx.post(f"{url}/api/v2/setup", json=asked, timeout=PATIENCE, verify=VERIFIES).raise_for_status()
    return Influxd(url, "topcoins", token)
