"""`python -m query_api`."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import structlog
import uvicorn
import uvloop

from lib import columns, log, settings
from lib.clock import utc_now
from lib.errors import SettingsRejected
from lib.schema import OWN, Series
from lib.settings import Settings
from lib.source import read_source
from lib.store.address import open_store
from query_api.app import create_app
from query_api.features.stream.work import SnapshotStream
from query_api.middleware.access import Access
from query_api.middleware.connection_limits import Connections

DRAIN_S = 10


def extras(chosen: Settings) -> list[Series]:
    """The series of the extra sources, in the order of the setting."""
    found = [read_source(Path(name)).values for name in chosen.extra_sources]
    fields = Counter([*columns.names(), *(name for series in found for name in series.fields)])
    names = Counter([*OWN, *(series.name for series in found)])
    for name, times in (fields + names).items():
        if fields[name] > 1 or names[name] > 1:
            raise SettingsRejected(f"extra_sources: {name} is the name of {times} things; give each its own")
    return found


def listening(chosen: Settings) -> list[socket.socket]:
    """A socket for the port and one for the port that browsers do not refuse."""
    sockets = []
    for port in dict.fromkeys((chosen.http_port, chosen.http_safe_port)):
        try:
            listener = socket.create_server((chosen.http_host, port), backlog=2048)
        except OSError as exc:
            raise SettingsRejected(
                f"{chosen.http_host}:{port} can't be listened on: {exc.strerror}; set TOPCOINS_HTTP_PORT or"
                " TOPCOINS_HTTP_SAFE_PORT to a free one, for example 16667"
            ) from exc
        # An answer's head and body are two writes: without this the second waits 40 ms for the first's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(listener)
    return sockets


class Server(uvicorn.Server):
    """Lets the listeners of the stream go before it waits for running requests: theirs would never end."""

    def __init__(self, config: uvicorn.Config, snapshot_stream: SnapshotStream) -> None:
        super().__init__(config)
        self._snapshot_stream = snapshot_stream

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._snapshot_stream.end()
        await super().shutdown(sockets)


async def serve(chosen: Settings) -> None:
    """Answer until told to stop; running requests finish."""
    store = open_store(chosen, utc_now)
    further = extras(chosen)
    snapshot_stream = SnapshotStream(store, [*OWN, *(series.name for series in further)], utc_now)
    app = create_app(
        store,
        clock=utc_now,
        max_skew=chosen.max_skew,
        max_age=chosen.max_age,
        spools=chosen.spool_dir,
        extras=further,
        snapshot_stream=snapshot_stream,
        notice=chosen.notice,
        access=Access.of(chosen),
    )
    connections = Connections(chosen.http_connections, timer=time.monotonic)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=DRAIN_S, server_header=False,
        http=connections.protocol(), ws="none", proxy_headers=bool(chosen.trusted_proxies),
        forwarded_allow_ips=list(chosen.trusted_proxies),
    )  # fmt: skip
    sockets = listening(chosen)
    at = [f"http://{name}:{port}" for name, port in (listener.getsockname()[:2] for listener in sockets)]
    structlog.get_logger().info("answering", at=at)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: None)  # uvicorn ends at these, then raises them again
    watching = asyncio.create_task(connections.watch())
    await Server(config, snapshot_stream).serve(sockets=sockets)
    watching.cancel()
    await store.close()


def main() -> None:
    """The service's whole life. A wrong setting is one sentence."""
    try:
        chosen = settings.load(os.environ, "query_api")
        log.configure(chosen)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(chosen))
    except SettingsRejected as exc:
        sys.exit(f"query_api: {exc}")


if __name__ == "__main__":
    main()
