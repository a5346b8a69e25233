"""Cold lists from the embedded store over 8 connections: with 6 hours stored, then with 30 days of markers."""

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
    for name, store in (("6 hours of markers", few), (f"{DAYS} days of markers", full)):
        rate, cpu_ms = await _measured(store, last)
        print(f"{name}: {rate:.0f} answers a second (wanted: {WANTED}), {cpu_ms:.2f} ms of CPU each", flush=True)


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


async def _measured(store: Path, last: datetime) -> tuple[float, float]:
    instants = [last - second * SECOND for second in range(int(TICKS * MINUTE.total_seconds()) - 700)]
    paths = [f"/?limit=200&datetime={isoformat(at)}" for at in random.Random(1).sample(instants, REQUESTS + 100)]
    async with query_api(f"sqlite:///{store}") as api:
        await _ask(await Connection.to(api.port), paths[REQUESTS:])
        connections = [await Connection.to(api.port) for _ in range(AT_ONCE)]
        cpu, began = api.cpu_s(), time.perf_counter()
        await asyncio.gather(*(_ask(each, paths[n:REQUESTS:AT_ONCE]) for n, each in enumerate(connections)))
        return REQUESTS / (time.perf_counter() - began), (api.cpu_s() - cpu) / REQUESTS * 1e3


async def _ask(connection: Connection, paths: Sequence[str]) -> None:
    for path in paths:
        await connection.get(path)
