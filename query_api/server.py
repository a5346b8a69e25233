"""The HTTP server: its sockets, its limits, its orderly end."""

import asyncio
import logging
import math
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from lib.endpoint import bracketed, describe_refusal, http_url, open_listener
from lib.errors import SettingsRejected
from lib.settings import PREFIX, Settings
from query_api.features.stream.work import SnapshotStream
from query_api.http.client import Addresses, with_mapped
from query_api.middleware.connection import connection_factory
from query_api.middleware.connection_limits import ConnectionLimits
from query_api.middleware.request_limits import with_request_limits
from query_api.middleware.request_metrics import RequestMetrics

DRAIN_S = 10
OTHER_FILES = 48
"""Open files beside connections: the store's, the log's, and those of libraries."""
_FAULTS_OF_CALLERS = (
    "Invalid HTTP request received.",
    "Unsupported upgrade request.",
    "No supported WebSocket library detected.",
    "ASGI callable returned without starting response.",
)
"""What uvicorn logs for each bad request, and for a caller that hangs up: not worth a line each."""

log = structlog.get_logger()


def listen(settings: Settings) -> list[socket.socket]:
    """A socket for the port, one for the port that browsers do not refuse, and one for metrics where that is set."""
    sockets = []
    for setting, (host, port) in settings.listeners.items():
        try:
            listener = open_listener(host, port, backlog=2048)
        except OSError as exc:
            why = describe_refusal(exc, f"{PREFIX}{setting.upper()}")
            raise SettingsRejected(f"{bracketed(host)}:{port} can't be listened on: {why}") from exc
        # An answer's head and body are two writes: without this the second waits 40 ms for the first's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(listener)
    addresses = [http_url(*listener.getsockname()[:2]) for listener in sockets]
    log.info("answering", at=addresses)
    return sockets


def allowed_files(wanted: int, soft: int, hard: int) -> int:
    """The limit of open files to set, given the limits of now: as many as wanted, as far as that is allowed."""
    wanted += OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def affordable_connections(wanted: int, open_files: int) -> int:
    """As many connections as wanted, unless the limit of open files is lower; that is logged."""
    affordable = max(open_files - OTHER_FILES, 1)
    if open_files == resource.RLIM_INFINITY or wanted <= affordable:
        return wanted
    log.warning(
        "HTTP_CONNECTIONS is above the limit of open files: fewer connections are accepted",
        http_connections=wanted, open_files=open_files, connections=affordable, raise_it="ulimit -n",
    )  # fmt: skip
    return affordable


def connections_of_this_process(settings: Settings) -> int:
    """This worker's part of HTTP_CONNECTIONS, within its limit of open files, which is raised where it may be."""
    wanted = math.ceil(settings.http_connections / settings.http_workers)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = allowed_files(wanted, soft, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return affordable_connections(wanted, allowed)


@contextmanager
def ignore_faults_of_callers() -> Iterator[None]:
    """Keep what callers do wrong out of the log: anybody could fill it."""

    def is_ours(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_FAULTS_OF_CALLERS)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(is_ours)
    yield
    logger.removeFilter(is_ours)


class Server(uvicorn.Server):
    """Ends the streams before it waits for running requests: those of listeners would never end."""

    def __init__(self, config: uvicorn.Config, snapshot_stream: SnapshotStream) -> None:
        super().__init__(config)
        self._snapshot_stream = snapshot_stream

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._snapshot_stream.end()
        await super().shutdown(sockets)


async def every_second(*actions: Callable[[], None]) -> None:
    """Run all actions each second until cancelled."""
    while True:
        await asyncio.sleep(1)
        for action in actions:
            action()


async def serve(
    app: ASGIApp,
    settings: Settings,
    sockets: Sequence[socket.socket],
    snapshot_stream: SnapshotStream,
    requests: RequestMetrics,
) -> None:
    """Answer until SIGTERM or SIGINT; running requests finish."""
    limits = ConnectionLimits(
        connections_of_this_process(settings),
        timer=time.monotonic,
        is_proxy=Addresses(settings.trusted_proxies).__contains__,
    )
    config = uvicorn.Config(
        with_request_limits(app), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=DRAIN_S,
        server_header=False,
        http=connection_factory(limits), ws="none", proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=with_mapped(settings.trusted_proxies),
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)  # uvicorn ends at these, then raises them again
    sweeping = asyncio.create_task(every_second(limits.sweep, requests.share))
    with ignore_faults_of_callers():
        await Server(config, snapshot_stream).serve(sockets=list(sockets))
    sweeping.cancel()
