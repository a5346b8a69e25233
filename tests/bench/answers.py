"""What an answer costs: "now" from a warm API, and cold instants of the past."""

import random
from datetime import timedelta
from pathlib import Path

from lib.cli.demo import free_port
from lib.clock import isoformat
from tests.bench.servers import MINUTE, Connection, fill_history, median_ms, query_api, server, timed

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


async def now_against_a_bare_app(folder: Path) -> None:
    """Wall and CPU per answer of `/?limit=200`, next to a bare ASGI app that sends the same bytes."""
    store = folder / "store.db"
    await fill_history(store, assets=1000, ticks=3)
    async with query_api(f"sqlite:///{store}") as api:
        body = folder / "body.json"
        body.write_bytes(await (await Connection.to(api.port)).get("/?limit=200"))
        port = free_port()
        async with server(["-c", BARE, str(port), str(body)], port) as bare:
            wall: dict[object, list[float]] = {api: [], bare: []}
            cpu = dict.fromkeys(wall, 0.0)
            for _ in range(ROUNDS):
                for one in (api, bare):
                    connection = await Connection.to(one.port)
                    before = one.cpu_s()
                    wall[one] += await timed(connection, ["/?limit=200"] * (REQUESTS // ROUNDS))
                    cpu[one] += one.cpu_s() - before
            ours, theirs = median_ms(wall[api]), median_ms(wall[bare])
            print(f"median: {ours:.3f} ms, bare {theirs:.3f} ms, ratio {ours / theirs:.2f}")
            mean = [sum(wall[one]) / REQUESTS * 1e3 for one in (api, bare)]
            print(f"mean:   {mean[0]:.3f} ms, bare {mean[1]:.3f} ms, ratio {mean[0] / mean[1]:.2f}")
            print(f"CPU:    {cpu[api] / REQUESTS * 1e6:.0f} us, bare {cpu[bare] / REQUESTS * 1e6:.0f} us, "
                  f"ratio {cpu[api] / cpu[bare]:.2f}")  # fmt: skip


async def cold_instants(folder: Path) -> None:
    """200 of 1,000 assets as of instants nobody asked for before, embedded store, one connection."""
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
