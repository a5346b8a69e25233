"""Several processes that answer on the same sockets: a parent starts them, replaces one that ended, and stops them."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

RESTART_AFTER_S = 1.0
WORKER = "--worker"
"""The first argument of a worker; the others are what it inherits."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Inherited:
    """What a worker gets from its parent on the command line."""

    sockets: list[socket.socket]
    lifeline: int
    metrics: Path

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Inherited":
        """The folder of the counts, the lifeline and the sockets, as `run_workers` writes them."""
        folder, *descriptors = arguments
        lifeline, *listeners = map(int, descriptors)
        return cls([socket.socket(fileno=listener) for listener in listeners], lifeline, Path(folder))


async def run_workers(count: int, sockets: Sequence[socket.socket]) -> None:
    """Keep `count` workers running until SIGTERM or SIGINT; return when all of them have ended."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # The parent alone has the writing end. It closes however the parent ends, and so ends the workers.
    lifeline, own_end = os.pipe()
    inherited = [lifeline, *(listener.fileno() for listener in sockets)]
    with tempfile.TemporaryDirectory(prefix="topcoins-metrics-") as folder:
        command = [sys.executable, "-m", "query_api", WORKER, folder, *map(str, inherited)]
        await asyncio.gather(*(_keep_running(command, inherited, stop) for _ in range(count)))
    os.close(own_end)


async def _keep_running(command: Sequence[str], inherited: Sequence[int], stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        worker = await asyncio.create_subprocess_exec(*command, pass_fds=inherited)
        ended = asyncio.create_task(worker.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            with suppress(ProcessLookupError):
                worker.terminate()
            await ended
        else:
            log.error("a worker ended; another one starts", pid=worker.pid, code=worker.returncode)
            await asyncio.wait([stopping], timeout=RESTART_AFTER_S)


def end_with_parent(lifeline: int) -> None:
    """In a worker: stop as by SIGTERM when the parent has ended."""

    def stop() -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        signal.raise_signal(signal.SIGTERM)

    asyncio.get_running_loop().add_reader(lifeline, stop)
