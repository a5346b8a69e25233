"""Several processes that answer on the same sockets: a parent starts them, replaces one that ended, and stops them."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from query_api.middleware.request_metrics import SHARED_FOLDER

RESTART_AFTER_S = 1.0

log = structlog.get_logger()


async def run_workers(count: int, sockets: Sequence[socket.socket]) -> None:
    """Keep `count` workers running until SIGTERM or SIGINT; return when all of them have ended."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # The parent alone has the writing end. It closes however the parent ends, and so ends the workers.
    lifeline, own_end = os.pipe()
    inherited = [listener.fileno() for listener in sockets] + [lifeline]
    command = [sys.executable, "-m", "query_api", *map(str, inherited)]
    with tempfile.TemporaryDirectory(prefix="topcoins-metrics-") as folder:
        environ = os.environ | {SHARED_FOLDER: folder}
        await asyncio.gather(*(_keep_running(command, inherited, environ, stop) for _ in range(count)))
    os.close(own_end)


async def _keep_running(
    command: Sequence[str], inherited: Sequence[int], environ: Mapping[str, str], stop: asyncio.Event
) -> None:
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        worker = await asyncio.create_subprocess_exec(*command, pass_fds=inherited, env=environ)
        ended = asyncio.create_task(worker.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            with suppress(ProcessLookupError):
                worker.terminate()
            await ended
        else:
            log.error("a worker ended; another one starts", pid=worker.pid, code=worker.returncode)
            await asyncio.wait([stopping], timeout=RESTART_AFTER_S)


def inherit(descriptors: Sequence[str]) -> tuple[list[socket.socket], int]:
    """In a worker: the sockets and the lifeline that the parent named on the command line."""
    *listeners, lifeline = map(int, descriptors)
    return [socket.socket(fileno=listener) for listener in listeners], lifeline


def end_with_parent(lifeline: int) -> None:
    """In a worker: stop as by SIGTERM when the parent has ended."""

    def stop() -> None:
        asyncio.get_running_loop().remove_reader(lifeline)
        signal.raise_signal(signal.SIGTERM)

    asyncio.get_running_loop().add_reader(lifeline, stop)
