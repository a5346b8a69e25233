"""What an answer costs: "now" from a warm API, and cold instants of the past."""

import asyncio
import contextlib
import random
import selectors
import socket
import statistics
import time
from datetime import timedelta
from pathlib import Path

from lib.clock import isoformat
from tests.bench.servers import MINUTE, Connection, fill_history, median_ms, query_api, server, timed
from tests.ports import free_port

BARE = """
import sys, uvicorn
body = open(sys.argv[2], "rb").read()
headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, lifespan="off", log_level="warning")
"""
REQUESTS = 20_000
ROUNDS = 5
AT_ONCE = 8


async def now_against_a_bare_app(folder: Path) -> None:
    """Requests a second and CPU of "now" at 8 connections, next to a bare ASGI app that sends the same bytes."""
    store = folder / "store.db"
    await fill_history(store, assets=1000, ticks=3)
    async with query_api(f"sqlite:///{store}") as api:
        body = folder / "body.json"
        body.write_bytes(await (await Connection.to(api.port)).get("/?limit=200"))
        port = free_port()
        async with server(["-c", BARE, str(port), str(body)], port) as bare:
            wall: dict[object, list[float]] = {api: [], bare: []}
            cpu: dict[object, list[float]] = {api: [], bare: []}
            for _ in range(ROUNDS):
                for one in (api, bare):
                    before, began = one.cpu_s(), time.perf_counter()
                    await asyncio.to_thread(load, one.port, "/?limit=200", REQUESTS // ROUNDS)
                    wall[one].append((time.perf_counter() - began) / REQUESTS * ROUNDS)
                    cpu[one].append((one.cpu_s() - before) / REQUESTS * ROUNDS)
            rates = [1 / statistics.median(wall[one]) for one in (api, bare)]
            costs = [sum(cpu[one]) / ROUNDS * 1e6 for one in (api, bare)]
            print(
                f"requests: {rates[0]:.0f} a second, bare {rates[1]:.0f}, ratio {rates[0] / rates[1]:.2f} (wanted: 0.7)"
            )
            print(f"CPU: {costs[0]:.1f} us, bare {costs[1]:.1f} us, ratio {costs[1] / costs[0]:.2f} (wanted: 0.7)")


def load(port: int, path: str, requests: int) -> None:
    """Ask over `AT_ONCE` connections, each as soon as its answer is there; every answer must be a 200."""
    request = f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(request)
        unread, sent, answered = dict[int, int](), AT_ONCE, 0
        while answered < requests:
            for key, _ in selector.select():
                data = key.fileobj.recv(2**18)  # type: ignore[union-attr]
                if key.fd not in unread:
                    head, _, data = data.partition(b"\r\n\r\n")
                    if not head.startswith(b"HTTP/1.1 200 "):
                        raise RuntimeError(f"{path}: {head!r}")
                    unread[key.fd] = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                unread[key.fd] -= len(data)
                if not unread[key.fd]:
                    del unread[key.fd]
                    answered += 1
                    if sent < requests:
                        key.fileobj.sendall(request)  # type: ignore[union-attr]
                        sent += 1


async def cold_instants(folder: Path) -> None:
    """200 of 1,000 assets as of instants not requested before, embedded store, one connection."""
    store, ticks = folder / "store.db", 360
    last = await fill_history(store, assets=1000, ticks=ticks)
    instants = [last - second * timedelta(seconds=1) for second in range(int(ticks * MINUTE.total_seconds()) - 700)]
    random.Random(1).shuffle(instants)
    async with query_api(f"sqlite:///{store}") as api:
        connection = await Connection.to(api.port)
        await connection.get("/?limit=200")
        for limit in (200, 1000):
            took = await timed(connection, [f"/?limit={limit}&datetime={isoformat(at)}" for at in instants[:500]])
            took.sort()
            print(
                f"limit={limit}: {len(took) / sum(took):.0f} a second, p50 {median_ms(took):.1f} ms,"
                f" p95 {took[len(took) * 95 // 100] * 1e3:.1f} ms"
            )
            instants = instants[500:]
