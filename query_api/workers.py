"""Several processes that answer on the same sockets: a parent starts them, replaces one that ended, and stops them."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from lib.lifeline import Lifeline

RESTART_AFTER_S = 1.0
WORKER = "--worker"
"""The first argument of a worker; the others are what it inherits."""

log = structlog.get_logger()


def inherited(arguments: Sequence[str]) -> tuple[Path, list[socket.socket]]:
    """The folder of the counts and the sockets, which a worker gets from its parent as `run_workers` writes them."""
    folder, *listeners = arguments
    return Path(folder), [socket.socket(fileno=int(listener)) for listener in listeners]


async def run_workers(count: int, sockets: Sequence[socket.socket]) -> None:
    """Keep `count` workers running until SIGTERM or SIGINT; return when all of them have ended."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    lifeline = Lifeline()
    listeners = [listener.fileno() for listener in sockets]
    with tempfile.TemporaryDirectory(prefix="topcoins-metrics-") as folder:
        command = [sys.executable, "-m", "query_api", WORKER, folder, *map(str, listeners)]
        start = partial(
            asyncio.create_subprocess_exec,
            *command,
            env={**os.environ, **lifeline.environ},
            pass_fds=[lifeline.inherited, *listeners],
        )
        await asyncio.gather(*(_keep_running(start, stop) for _ in range(count)))
    lifeline.close()


async def _keep_running(start: Callable[[], Awaitable[Process]], stop: asyncio.Event) -> None:
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        worker = await start()
        ended = asyncio.create_task(worker.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            with suppress(ProcessLookupError):
                worker.terminate()
            await ended
        else:
            log.error("a worker ended; another one starts", pid=worker.pid, code=worker.returncode)
            await asyncio.wait([stopping], timeout=RESTART_AFTER_S)
