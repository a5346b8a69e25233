"""Servers to measure, as processes of their own, and the leanest client that can drive them."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lib.clock import slot, utc_now
from lib.schema import PRICE
from lib.simulator.history import Fill, shared, sources
from lib.store.sqlite import SqliteStore
from tests.ports import free_port

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Server:
    """A running process that listens."""

    port: int
    process: asyncio.subprocess.Process

    def cpu_s(self) -> float:
        """CPU seconds that it and its workers have used."""
        pid = str(self.process.pid)
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(_cpu_ticks(each) for each in [pid, *workers]) / TICKS_PER_S

    def peak_mb(self) -> int:
        """The peak of its memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _cpu_ticks(pid: str) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@asynccontextmanager
async def server(arguments: Sequence[str], port: int, **settings: str) -> AsyncIterator[Server]:
    """A Python process with these arguments, once it listens."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environ | settings, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(port)
        yield Server(port, process)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def query_api(store: str, **settings: str) -> AsyncIterator[Server]:
    """The API over a store."""
    port = free_port()
    settings = {
        "TOPCOINS_STORE_URL": store,
        "TOPCOINS_HTTP_PORT": str(port),
        "TOPCOINS_HTTP_SAFE_PORT": str(free_port()),
        **settings,
    }
    async with server(["-m", "query_api"], port, **settings) as running:
        yield running


async def _listening(port: int) -> None:
    for _ in range(1200):  # a busy machine starts a process slowly
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise RuntimeError(f"nothing listens on {port}")


class Connection:
    """One kept-alive connection; reads whole answers and checks that they are 200."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**24))

    async def get(self, path: str) -> bytes:
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise RuntimeError(f"{path}: {head!r}")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return await self._reader.readexactly(length)


async def timed(connection: Connection, paths: Sequence[str]) -> list[float]:
    """Seconds each answer took."""
    took = []
    for path in paths:
        began = time.perf_counter()
        await connection.get(path)
        took.append(time.perf_counter() - began)
    return took


def median_ms(took: Sequence[float]) -> float:
    """The median in milliseconds."""
    return sorted(took)[len(took) // 2] * 1000


def report(what: str, took: Sequence[float], wanted: str = "") -> None:
    """Print p50 and p95."""
    p95 = sorted(took)[len(took) * 95 // 100] * 1000
    print(
        f"{what}: p50 {median_ms(took):.0f} ms, p95 {p95:.0f} ms{f' (wanted: {wanted})' if wanted else ''}", flush=True
    )


async def fill_history(store: Path, *, assets: int, ticks: int) -> datetime:
    """Simulated minutes up to now, through the ordinary ingest path; returns the last tick."""
    stop = slot(utc_now(), MINUTE)
    fills = [
        Fill(
            source=source,
            store=store,
            assets=assets,
            events_at=stop - ticks // 2 * MINUTE,
            start=stop - ticks * MINUTE,
            stop=stop,
            interval=MINUTE,
        )
        for source in sources()
    ]
    made = SqliteStore(store, clock=utc_now)  # two that make a new file at once would find it locked
    await made.first(PRICE.name)
    await made.close()
    workers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lib.simulator.history", part), stdout=asyncio.subprocess.DEVNULL
        )
        for part in shared(fills)
    ]
    for worker in workers:
        if await worker.wait():
            raise RuntimeError(f"the history was not filled: {store.with_name('history.log').read_text()[-500:]}")
    return stop - MINUTE
