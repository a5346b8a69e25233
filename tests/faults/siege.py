"""The real services under siege: each round one thing breaks for some seconds, is mended, and all recovers."""

import asyncio
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from lib.clock import utc_now
from lib.store import Store
from lib.store.influx import InfluxStore
from lib.store.sqlite import SqliteStore
from tests.faults.invariants import each_marker_has_exactly_its_rows
from tests.faults.proxy import STANDING_IN, Mode, Proxy
from tests.flow.processes import Process, Stage, free_port, upstream
from tests.influxd import PrivateServer

INGESTORS = {"price": "ingest_price", "volume_rank": "ingest_rank"}
ASSETS = 60
RECOVERS_S = 90.0
LOOK_S = 0.2
BROKEN_S = (0.5, 4.0)
DOWN = {"not running", "busy"}
"""Ticks of a second, on a busy machine, miss one now and then by themselves."""
STOPPED = DOWN | {"source away"}
"""A process is stopped this long, so that a fetch that had begun times out."""
AWAY = {"source away", "source malformed"}
MODES: list[Mode] = ["refuse", "hang", "reset", "cut", "delay", "error"]


@dataclass
class Place:
    """Where the services store: their settings, a way to look, and the server's process, where there is one."""

    settings: dict[str, dict[str, object]]
    open: Callable[[], Store]
    server: PrivateServer | None = None

    @property
    def port(self) -> int | None:
        """The server's."""
        return urlsplit(self.server.url).port if self.server else None


@contextmanager
def sqlite(stage: Stage) -> Iterator[Place]:
    """The embedded store."""
    own: dict[str, object] = {"STORE_URL": f"sqlite:///{stage.store}"}
    yield Place(dict.fromkeys((*INGESTORS.values(), "query_api"), own), lambda: SqliteStore(stage.store, clock=utc_now))


@contextmanager
def influx(stage: Stage) -> Iterator[Place]:
    """A real InfluxDB, set up by `topcoins init`; the services get the token made for each."""
    with tempfile.TemporaryDirectory(prefix="influxd-") as folder, PrivateServer(Path(folder)) as server:
        url = server.url
        init = stage.topcoins("init", "--folder", "tokens", STORE_URL=url)
        assert init.ends() == 0, init.err
        names = (*INGESTORS.values(), "query_api")
        tokens = {name: stage.folder / "tokens" / name / "influx_token" for name in names}
        secret = SecretStr(tokens["query_api"].read_text().strip())
        yield Place(
            {name: {"STORE_URL": url, "INFLUX_TOKEN_FILE": token} for name, token in tokens.items()},
            lambda: InfluxStore(url, org="topcoins", bucket="market", token=secret, clock=utc_now),
            server,
        )


class Siege:
    """The services, what can break, and what must be true."""

    def __init__(self, stage: Stage, place: Place, chance: random.Random) -> None:
        self._stage = stage
        self._place = place
        self._chance = chance
        self._services: dict[str, Process] = {}
        self._upstream_port = free_port()
        self._ports = free_port(), free_port()

    async def run(self, until: float, *, at_least: int = 1) -> int:
        """Rounds until the time is over; how many."""
        self._stage.simulator("--assets", str(ASSETS), "--unlimited", port=self._upstream_port)
        rounds = 0
        async with Proxy(self._upstream_port) as self._upstream, Proxy(self._place.port or 0) as self._store:
            for name in (*INGESTORS.values(), "query_api"):
                self._start(name)
            await self._recovers("the start")
            while rounds < at_least or time.monotonic() < until:
                name, fault, causes = self._chance.choice(self._faults())
                print(f"{rounds + 1}: {name}", flush=True)
                began = utc_now()
                await fault()
                await self._recovers(name)
                await self._gaps_are_named(name, began, causes)
                rounds += 1
        return rounds

    def _faults(self) -> list[tuple[str, Callable[[], Awaitable[None]], set[str]]]:
        """What can break, and the causes of the gaps it may leave."""
        found: list[tuple[str, Callable[[], Awaitable[None]], set[str]]] = []
        for service in (*INGESTORS.values(), "query_api"):
            found.append((f"kill -9 of {service}", partial(self._killed, service), DOWN))
            causes = STOPPED if service in INGESTORS.values() else DOWN
            found.append((f"{service} stands still", partial(self._stopped, service), causes))
        for mode in MODES:
            found.append((f"the upstream: {mode}", partial(self._fails, self._upstream, mode), DOWN | AWAY))
            if self._place.port:
                found.append((f"the store: {mode}", partial(self._fails, self._store, mode), DOWN))
        if server := self._place.server:
            found.append(("InfluxDB stands still", partial(self._server_stopped, server), DOWN))
            found.append(("kill -9 of InfluxDB", partial(self._server_killed, server), DOWN))
        return found

    def _start(self, name: str) -> None:
        settings: dict[str, object] = {
            **upstream(self._upstream.port), **self._place.settings[name], "SPOOL_DIR": self._stage.folder / "spool",
        }  # fmt: skip
        if self._place.port:
            settings["STORE_URL"] = self._store.url
        if name == "query_api":
            settings |= {"HTTP_PORT": self._ports[0], "HTTP_SAFE_PORT": self._ports[1]}
        else:
            settings |= {"INTERVAL": "1s", "ASSETS": ASSETS, "RANK_SOURCE": "coindesk"}
        self._services[name] = self._stage.start("-m", name, **settings)

    async def _killed(self, name: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, 1))
        self._services[name].send(signal.SIGKILL)
        await asyncio.to_thread(self._services[name].ends)
        self._start(name)

    async def _stopped(self, name: str) -> None:
        self._services[name].send(signal.SIGSTOP)
        await self._a_while()
        self._services[name].send(signal.SIGCONT)

    async def _server_stopped(self, server: PrivateServer) -> None:
        server.send(signal.SIGSTOP)
        await self._a_while()
        server.send(signal.SIGCONT)

    async def _server_killed(self, server: PrivateServer) -> None:
        await asyncio.sleep(self._chance.uniform(0, 1))
        server.kill()
        await self._a_while()
        await asyncio.to_thread(server.start)

    async def _fails(self, proxy: Proxy, mode: Mode) -> None:
        await proxy.fail(mode, error=self._chance.choice(list(STANDING_IN.values())))
        await self._a_while()
        await proxy.fail("through")

    async def _a_while(self) -> None:
        await asyncio.sleep(self._chance.uniform(*BROKEN_S))

    async def _recovers(self, what: str) -> None:
        """Both series tick again, nothing waits, and what must be true is."""
        began, late = utc_now(), time.monotonic() + RECOVERS_S
        while not await self._well(began):
            for name, service in self._services.items():
                assert service.runs, f"after {what}: {name} ended: {service.err}"
            assert time.monotonic() < late, f"after {what}: no recovery within {RECOVERS_S:g} s"
            await asyncio.sleep(LOOK_S)
        await self._true(what)

    async def _well(self, since: Any) -> bool:
        body = await self._get("/v1/status")
        return body is not None and all(
            one["tick"] and one["spool"] and not one["spool"]["spooled"] and one["tick"] > since.isoformat()
            for name, one in body["series"].items()
            if name in INGESTORS
        )

    async def _true(self, what: str) -> None:
        before = await self._spools()
        stored, whole = await self._looked()
        after = await self._spools()
        for series in INGESTORS:
            one, two, held = before[series], after[series], stored[series]
            assert one["fetched"] == one["stored"] + one["spooled"] + one["dropped"]
            message = f"after {what}: {series}: {one}, then {held} in the store, then {two}"
            assert one["stored"] <= held <= two["stored"] + two["spooled"], message
            assert two["dropped"] == 0, message
        assert whole, f"after {what}: nothing new"
        top = await self._get("/v1/top?limit=5000")
        assert top is not None, what
        assert top["count"] == top["assets"]["matched"] > ASSETS / 2, what

    async def _looked(self) -> tuple[Counter[str], bool]:
        """How many snapshots of each series are in the store; the newest are whole."""
        store = self._place.open()
        now = utc_now()
        try:
            markers = await store.markers(now - timedelta(hours=2), now + timedelta(minutes=1))
            newest = [marker for marker in markers if marker.tick > now - timedelta(seconds=20)]
            await each_marker_has_exactly_its_rows(store, newest)
        finally:
            await store.close()
        return Counter(marker.series for marker in markers), bool(newest)

    async def _spools(self) -> dict[str, dict[str, int]]:
        body = await self._get("/v1/status")
        assert body is not None
        return {series: body["series"][series]["spool"] for series in INGESTORS}

    async def _gaps_are_named(self, what: str, since: datetime, causes: set[str]) -> None:
        body = await self._get(f"/v1/gaps?from={since:%Y-%m-%dT%H:%M:%SZ}")
        assert body is not None, what
        for series, found in body["series"].items():
            named = {cause for gap in found["gaps"] for cause in gap["causes"]}
            # The newest seconds may be on their way to the store.
            assert named <= causes | {"store"}, f"after {what}: {series}: {found['gaps']}"

    async def _get(self, path: str) -> Any:
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
                answer = await client.get(f"http://127.0.0.1:{self._ports[1]}{path}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None
