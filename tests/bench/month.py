"""Cold lists from the embedded store, 8 at a time: with 6 hours and 30 days of markers stored, with 1 and 2 workers."""

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lib.clock import isoformat
from tests.bench.servers import MINUTE, SECOND, Connection, fill_history, query_api

TICKS = 360
DAYS = 30
AT_ONCE = 8
A_CONNECTION = 10
WARM_UP = 400
REQUESTS = 2000
WANTED = 450
_COPY = """INSERT INTO snapshot ({columns})
  WITH RECURSIVE copies (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copies WHERE number < {copies})
  SELECT {shifted} FROM copies, snapshot"""


async def cold_lists_of_a_full_store(folder: Path) -> None:
    """Answers a second for 200 of 1,000 assets as of instants not requested before, and the CPU time of each."""
    few, full = folder / "few.db", folder / "full.db"
    last = await fill_history(few, assets=1000, ticks=TICKS)
    shutil.copy(few, full)
    copy_markers(full)
    rates = []
    for name, store, workers in (("6 hours", few, 1), (f"{DAYS} days", full, 1), (f"{DAYS} days", full, 2)):
        rate, cpu_ms, client_ms = await _measured(store, last, workers)
        rates.append(rate)
        print(
            f"{name} of markers, workers: {workers}: {rate:.0f} answers a second (wanted of one: {WANTED}), for each"
            f" {cpu_ms:.2f} ms of CPU, and {client_ms:.2f} ms of the client",
            flush=True,
        )
    print(f"two workers: {rates[2] / rates[1]:.2f} times one (wanted: 1.7)", flush=True)


def copy_markers(store: Path) -> None:
    """Fill the days before with copies of the markers. Their rows are not copied: no query looks for those."""
    with sqlite3.connect(store) as file:
        columns = [name for _, name, *_ in file.execute("PRAGMA table_info(snapshot)")]
        span = int(TICKS * MINUTE.total_seconds())
        times = ("tick", "observed_at", "stored_at")
        shifted = [f"{name} - {span} * number" if name in times else name for name in columns]
        copies = DAYS * 24 * 60 // TICKS
        file.execute(_COPY.format(columns=", ".join(columns), shifted=", ".join(shifted), copies=copies))
    file.close()


async def _measured(store: Path, last: datetime, workers: int) -> tuple[float, float, float]:
    """Answers a second, and milliseconds of CPU for each: the API's and the client's."""
    instants = [last - second * SECOND for second in range(int(TICKS * MINUTE.total_seconds()) - 700)]
    paths = [f"/?limit=200&datetime={isoformat(at)}" for at in random.Random(1).sample(instants, REQUESTS + WARM_UP)]
    async with query_api(f"sqlite:///{store}", TOPCOINS_HTTP_WORKERS=str(workers)) as api:
        await _ask_all(api.port, paths[REQUESTS:])
        cpu, own, began = api.cpu_s(), time.process_time(), time.perf_counter()
        await _ask_all(api.port, paths[:REQUESTS])
        took, own = time.perf_counter() - began, time.process_time() - own
        return REQUESTS / took, (api.cpu_s() - cpu) / REQUESTS * 1e3, own / REQUESTS * 1e3


async def _ask_all(port: int, paths: Sequence[str]) -> None:
    """`AT_ONCE` at a time. Each connection asks a few: of new ones, the worker that is free takes the next."""
    parts = iter([paths[at : at + A_CONNECTION] for at in range(0, len(paths), A_CONNECTION)])

    async def ask() -> None:
        for part in parts:
            connection = await Connection.to(port)
            for path in part:
                await connection.get(path)

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
