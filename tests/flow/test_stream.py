"""The stream as processes: `topcoins watch` through an end and a new start of the API."""

import json
import signal
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from lib.clock import isoformat, utc_now
from lib.schema import PRICE
from lib.store.sqlite import SqliteStore
from tests.flow.processes import Process, Stage, eventually, listens
from tests.flow.writer import snapshot
from tests.ports import free_port

pytestmark = pytest.mark.stack

SECOND = timedelta(seconds=1)


async def write(stage: Stage) -> str:
    """A snapshot of this second, the next due a second later; its tick as the stream writes it."""
    store = SqliteStore(stage.store, clock=utc_now)
    whole = snapshot(PRICE, utc_now().replace(microsecond=0), 0)
    await store.write(replace(whole, marker=replace(whole.marker, interval=SECOND)))
    await store.close()
    return isoformat(whole.tick)


def ticks(watch: Process) -> list[str]:
    return [json.loads(line)["tick"] for line in watch.out.splitlines(keepends=True) if line.endswith("\n")]


def start_api(stage: Stage, port: int) -> Process:
    process = stage.service("query_api", HTTP_PORT=port, HTTP_SAFE_PORT=port)
    process.until(lambda: listens(port))
    return process


async def test_the_api_ends_at_once_with_a_listener_and_watch_misses_nothing(stage):
    port = free_port()
    await write(stage)
    api = start_api(stage, port)
    watch = stage.topcoins("watch", "--json", "--url", f"http://127.0.0.1:{port}")
    first = await tick_seen(stage, watch)

    api.send(signal.SIGTERM)
    assert api.ends() == 0
    assert "graceful shutdown exceeded" not in api.out + api.err  # what uvicorn logs when it cuts a request
    assert "Traceback" not in api.out + api.err
    watch.until(lambda: "the API ended the stream" in watch.err)

    missed = await write(stage)
    start_api(stage, port)
    watch.until(lambda: missed in ticks(watch))
    assert "connected again" in watch.err
    assert ticks(watch) == sorted({first, *ticks(watch), missed})
    watch.send(signal.SIGINT)
    assert watch.ends() == 0
    assert "Traceback" not in watch.err


async def tick_seen(stage: Stage, watch: Process) -> str:
    """Write snapshots until the listener, which connects at some time, gets one."""
    while not ticks(watch):
        next_second(await write(stage))
    return ticks(watch)[0]


def next_second(tick: str) -> None:
    eventually(lambda: datetime.fromisoformat(tick) + SECOND <= utc_now())
