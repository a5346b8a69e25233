"""The real services under siege: each round one thing breaks for some seconds, is mended, and all recovers."""

import asyncio
import itertools
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
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
from tests.faults.entrance import BOMBS, COOKIES, POISONED, STEPS, WRONG
from tests.faults.invariants import each_marker_has_exactly_its_rows, no_tick_is_of_the_future, no_value_is_poisoned
from tests.faults.proxy import STANDING_IN, Mode, Proxy
from tests.faults.shifted import ShiftedClock, compiler
from tests.flow.processes import Process, Stage, listens, upstream
from tests.influxd import PrivateServer
from tests.ports import free_port

INGESTORS = {"price": "ingest_price", "volume_rank": "ingest_rank"}
ASSETS = 60
RECOVERS_S = 90.0
LOOK_S = 0.2
BROKEN_S = (0.5, 4.0)
SENT_S = 4.0
WRONG_S = (3.0, 10.0)
"""The ingestors look after five seconds at the latest whether their clock was set back."""
RESTARTED = 0.3
DOWN = {"not running", "busy"}
"""Ticks of a second, on a busy machine, miss one now and then by themselves."""
STOPPED = DOWN | {"source away"}
"""A process is stopped this long, so that a fetch that had begun times out."""
AWAY = {"source away", "source malformed"}
CLOCK = STOPPED | {"clock"}
MEMORY = {"ingest_price": 512 * 2**20, "ingest_rank": 512 * 2**20, "query_api": 768 * 2**20}
"""What compose gives each service."""
AGAIN = 16
"""A clock that is set a little may fetch so many ticks a second time: each is counted twice and stored once."""
FAR = timedelta(days=60)
MODES: list[Mode] = ["refuse", "hang", "reset", "cut", "delay", "error"]


@dataclass(frozen=True)
class Breakage:
    """What breaks, the causes of the gaps it may leave, and those it must leave."""

    name: str
    act: Callable[[], Awaitable[None]]
    may: set[str]
    must: frozenset[str] = frozenset()


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
        self._ports = free_port(), free_port()
        self._simulator: Process | None = None
        self._simulators = 0
        self._seen: set[tuple[str, datetime]] = set()
        self._again = 0
        self._clocks = {name: ShiftedClock(stage.folder, name) for name in MEMORY} if compiler() else {}
        if not self._clocks:
            print("no C compiler: no clock is set", flush=True)

    async def run(self, until: float, *, at_least: int = 1) -> int:
        """Rounds until the time is over; how many."""
        rounds = 0
        async with Proxy(0) as self._upstream, Proxy(self._place.port or 0) as self._store:
            await self._simulate()
            for name in (*INGESTORS.values(), "query_api"):
                self._start(name)
            await self._recovers("the start")
            while rounds < at_least or time.monotonic() < until:
                breakage = self._chance.choice(self._breakages())
                print(f"{rounds + 1}: {breakage.name}", flush=True)
                began = utc_now()
                await breakage.act()
                await self._recovers(breakage.name)
                await self._gaps_are_named(breakage, began)
                rounds += 1
        return rounds

    def _breakages(self) -> list[Breakage]:
        """What can break, of one kind: each kind is as likely as the others, however many members it has."""
        kinds = [self._processes(), self._connections(), self._lists()]
        return self._chance.choice([*kinds, self._clock_steps()] if self._clocks else kinds)

    def _processes(self) -> list[Breakage]:
        found: list[Breakage] = []
        for service in (*INGESTORS.values(), "query_api"):
            found.append(Breakage(f"kill -9 of {service}", partial(self._killed, service), DOWN))
            causes = STOPPED if service in INGESTORS.values() else DOWN
            found.append(Breakage(f"{service} stands still", partial(self._stopped, service), causes))
        if server := self._place.server:
            found.append(Breakage("InfluxDB stands still", partial(self._server_stopped, server), DOWN))
            found.append(Breakage("kill -9 of InfluxDB", partial(self._server_killed, server), DOWN))
        return found

    def _connections(self) -> list[Breakage]:
        found: list[Breakage] = []
        for mode in MODES:
            found.append(Breakage(f"the upstream: {mode}", partial(self._fails, self._upstream, mode), DOWN | AWAY))
            if self._place.port:
                found.append(Breakage(f"the store: {mode}", partial(self._fails, self._store, mode), DOWN))
        return found

    def _lists(self) -> list[Breakage]:
        """What an upstream may send that is wrong: where it is refused, the ledger must name the cause."""
        kinds = {"doubtful": POISONED, "source malformed": BOMBS, "": COOKIES}
        # uvicorn sets the `Date` of all answers once a second: it stands still while the simulator makes a bomb.
        may = DOWN | AWAY | {"clock"}
        return [
            Breakage(name, partial(self._sends, fault), may | {cause}, frozenset({cause} - {""}))
            for cause, faults in kinds.items()
            for name, fault in faults.items()
        ]

    def _clock_steps(self) -> list[Breakage]:
        """The clock of one service, or that of the machine, which the upstream does not share."""
        return [
            Breakage(
                f"the clock of {'+'.join(names)} is off by {step.total_seconds():g} s{', from the start' * restarts}",
                partial(self._clock_is_set, names, step, restarts),
                CLOCK,
            )
            for names in [*([name] for name in self._clocks), [*self._clocks]]
            for step in STEPS
            for restarts in (False, True)
        ]

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
        clock = self._clocks[name].environ if self._clocks else {}
        variables = [f"{variable}={value}" for variable, value in clock.items()]
        self._services[name] = self._stage.command("env", *variables, sys.executable, "-m", name, **settings)

    async def _simulate(self, *arguments: str) -> None:
        """A simulator takes the place of the one before."""
        port, before = free_port(), self._simulator
        options = ("--assets", str(ASSETS), "--unlimited", *arguments)
        self._simulator = self._stage.topcoins("simulate", "--port", str(port), *options)
        await asyncio.to_thread(self._simulator.until, lambda: listens(port))
        self._upstream.lead_to(port)
        if before:
            before.send(signal.SIGTERM)
            await asyncio.to_thread(before.ends)

    async def _sends(self, fault: str) -> None:
        """The first answers of the upstream have this fault; now and then the ingestors have just started."""
        self._simulators += 1
        path = self._stage.folder / f"faults-{self._simulators}.toml"
        path.write_text(fault)
        if self._chance.random() < RESTARTED:
            for name in INGESTORS.values():
                await self._killed(name)
        await self._simulate("--faults", str(path))
        await asyncio.sleep(SENT_S)

    async def _clock_is_set(self, names: Sequence[str], step: timedelta, restarts: bool) -> None:
        """Some services' clock is wrong, before their start or while they run, and is set right while they run."""
        self._again += AGAIN * (abs(step) < WRONG)
        for name in names if restarts else ():
            self._services[name].send(signal.SIGKILL)
            await asyncio.to_thread(self._services[name].ends)
        for name in names:
            self._clocks[name].set(step)
        for name in names if restarts else ():
            self._start(name)
        await asyncio.sleep(self._chance.uniform(*WRONG_S))
        for name in names:
            self._clocks[name].set(timedelta())

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
            assert one["stored"] - self._again <= held <= two["stored"] + two["spooled"], message
            assert two["dropped"] == 0, message
        assert whole, f"after {what}: nothing new"
        assert not self._upstream.cookies, f"after {what}: a cookie was sent back"
        for name, service in self._services.items():
            assert service.most_memory < MEMORY[name], f"after {what}: {name} took {service.most_memory:,} bytes"
        top = await self._get("/v1/top?limit=5000")
        assert top is not None, what
        assert top["count"] == top["assets"]["matched"] > ASSETS / 2, what

    async def _looked(self) -> tuple[Counter[str], bool]:
        """How many snapshots of each series are in the store; the newest are whole."""
        store = self._place.open()
        now = utc_now()
        try:
            # Of one series: of all, InfluxDB leaves out what was stored while another write was under way.
            reads = [await store.markers(now - timedelta(hours=2), now + FAR, series=name) for name in INGESTORS]
            markers = sorted(itertools.chain(*reads), key=lambda marker: marker.tick)
            no_tick_is_of_the_future(markers, now)
            ticks = {(marker.series, marker.tick) for marker in markers}
            assert self._seen <= ticks, f"gone from the store: {sorted(self._seen - ticks)}"
            fresh = [marker for marker in markers if (marker.series, marker.tick) not in self._seen]
            await no_value_is_poisoned(store, fresh)
            self._seen = ticks
            newest = [marker for marker in markers if marker.tick > now - timedelta(seconds=20)]
            await each_marker_has_exactly_its_rows(store, newest)
        finally:
            await store.close()
        return Counter(marker.series for marker in markers), bool(newest)

    async def _spools(self) -> dict[str, dict[str, int]]:
        body = await self._get("/v1/status")
        assert body is not None
        return {series: body["series"][series]["spool"] for series in INGESTORS}

    async def _gaps_are_named(self, breakage: Breakage, since: datetime) -> None:
        body = await self._get(f"/v1/gaps?from={since:%Y-%m-%dT%H:%M:%SZ}")
        assert body is not None, breakage.name
        named: set[str] = set()
        for series, found in body["series"].items():
            causes = {cause for gap in found["gaps"] for cause in gap["causes"]}
            # The newest seconds may be on their way to the store.
            assert causes <= breakage.may | {"store"}, f"after {breakage.name}: {series}: {found['gaps']}"
            named |= causes
        assert breakage.must <= named, f"after {breakage.name}: no gap of {set(breakage.must)}: {body}"

    async def _get(self, path: str) -> Any:
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client:
                answer = await client.get(f"http://127.0.0.1:{self._ports[1]}{path}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None
