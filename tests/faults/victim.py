"""A process that fills a series and ends itself with SIGKILL at a named step of a tick.

It is forked from a server that has all modules loaded, so that each costs a twentieth of a second.
"""

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import stamina

from lib import log
from lib.errors import StoreUnavailable
from lib.ingest.delivery import Delivery
from lib.ingest.spool_folder import COUNTS
from lib.settings import Settings
from lib.snapshot import Snapshot
from lib.snapshot_file import PART, write_whole
from lib.store import Store
from tests.fakes import FakeClock
from tests.faults.world import ROOMY, World

STEPS = (
    "before the fetch",
    "between pages",
    "before the last page",
    "in an answer",
    "before the spool",
    "before the snapshot's file",
    "half of the snapshot's file",
    "after the snapshot's file",
    "before the count",
    "half of the count",
    "after the count",
    "after the spool",
    "before the write",
    "in the rows",
    "before the marker",
    "after the write",
    "after the delivery",
)
WITHIN_S = 60.0
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Task:
    """What a victim does: ticks from `start` on, of which the last ends it at `step`.

    `away` ticks before the last meet a store that is away; `largest` is the most a file may hold.
    """

    folder: Path
    series: str
    step: str
    start: datetime
    ticks: int = 2
    away: int = 0
    limit: int = ROOMY
    largest: int | None = None

    @property
    def taken(self) -> Path:
        """The file with each tick that was accepted for delivery."""
        return self.folder / f"taken.{self.series}"


def run(task: Task) -> int:
    """Run a victim to its end; its exit code, -9 when it reached the step."""
    process = _SERVER.Process(target=_live, args=(task,))
    process.start()
    process.join(WITHIN_S)
    assert process.exitcode is not None, f"{task.step}: the victim hangs"
    return process.exitcode


def _live(task: Task) -> None:
    stamina.set_testing(True, attempts=3)
    if task.largest is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (task.largest, resource.RLIM_INFINITY))
    log.configure(Settings(log_level="error"))
    asyncio.run(_ticks(task))


async def _ticks(task: Task) -> None:
    fate = Fate(task.step)
    world = World(
        task.folder,
        FakeClock(task.start),
        limit=task.limit,
        write=fate.write,
        wrap_store=lambda store: Watched(store, fate),
        wrap_delivery=lambda delivery: RecordedDelivery(delivery, fate, task.taken),
        wrap_transport=lambda transport: Pages(transport, fate),
    )
    async with world.opened(task.series) as ingest:
        for number in range(task.ticks):
            fate.armed = number == task.ticks - 1
            fate.store_away = task.ticks - 1 - task.away <= number < task.ticks - 1
            await world.ticks(ingest, 1)


class Fate:
    """Ends the process at its step, once it is armed."""

    def __init__(self, step: str) -> None:
        self.step = step
        self.armed = False
        self.store_away = False

    def comes(self, step: str) -> bool:
        return self.armed and step == self.step

    def at(self, step: str) -> None:
        if self.comes(step):
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: Path, body: bytes) -> None:
        """How the spool's files get on disk."""
        what = "the count" if path.name == COUNTS else "the snapshot's file"
        self.at(f"before {what}")
        if self.comes(f"half of {what}"):
            path.with_name(path.name + PART).write_bytes(body[: len(body) // 2])
            self.at(f"half of {what}")
        write_whole(path, body)
        self.at(f"after {what}")


class Pages(httpx.AsyncBaseTransport):
    """Counts the requests of the last tick."""

    def __init__(self, inner: httpx.AsyncBaseTransport, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate
        self._asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._asked += self._fate.armed
        self._fate.at({1: "before the fetch", 2: "between pages", 3: "before the last page"}.get(self._asked, ""))
        response = await self._inner.handle_async_request(request)
        if self._fate.comes("in an answer"):
            response.stream = Breaking(response.stream, self._fate)
        return response


class Breaking(httpx.AsyncByteStream):
    """A body of which the first part comes."""

    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk[: len(chunk) // 2]
            self._fate.at("in an answer")


class RecordedDelivery:
    """A delivery that writes down what it has taken over, as soon as it has."""

    def __init__(self, inner: Delivery, fate: Fate, taken: Path) -> None:
        self._inner = inner
        self._fate = fate
        self._taken = taken

    async def accept(self, snapshot: Snapshot) -> None:
        self._fate.at("before the spool")
        await self._inner.accept(snapshot)
        with self._taken.open("a") as file:
            file.write(f"{snapshot.tick.timestamp()}\n")
        self._fate.at("after the spool")

    async def amend(self, snapshot: Snapshot) -> None:
        await self._inner.amend(snapshot)

    async def flush(self) -> None:
        await self._inner.flush()
        self._fate.at("after the delivery")

    async def newest(self) -> Snapshot | None:
        return await self._inner.newest()


class Watched:
    """A store that ends the process around and inside a write; away while `fate` makes it so."""

    def __init__(self, inner: Store, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, snapshot: Snapshot) -> None:
        if self._fate.store_away:
            raise StoreUnavailable("the store is away")
        self._fate.at("before the write")
        rows: Any = Halting(snapshot.rows, self._fate)
        await self._inner.write(replace(snapshot, rows=rows))
        self._fate.at("after the write")


class Halting:
    """Rows that end the process half way, or after the last."""

    def __init__(self, rows: pl.DataFrame, fate: Fate) -> None:
        self._rows = rows
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def with_columns(self, *columns: pl.Series) -> "Halting":
        return Halting(self._rows.with_columns(*columns), self._fate)

    def drop(self, names: Sequence[str]) -> "Halting":
        return Halting(self._rows.drop(names), self._fate)

    def iter_rows(self) -> Iterator[Any]:
        for number, row in enumerate(self._rows.iter_rows()):
            if number == len(self._rows) // 2:
                self._fate.at("in the rows")
            yield row
        self._fate.at("before the marker")
