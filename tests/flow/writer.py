"""A process that writes snapshots: `python -m tests.flow.writer STORE (slowly | many) FIRST_TICK`."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from lib.clock import utc_now
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.snapshot import Marker, Snapshot, pack_ids
from lib.store.sqlite import SqliteStore

ROWS = 500
MANY = 60
SERIES = (PRICE, VOLUME_RANK)


def snapshot(series: Series, first: datetime, number: int) -> Snapshot:
    """The snapshot of a minute after the first: each has another number of rows, and its number as their value."""
    tick = first + number * timedelta(minutes=1)
    count = ROWS - 7 * (number % 50)
    values = {"symbol": "X", "name": "Asset", "usd": number, "volume_usd": number}
    rows = [(id_, *(values.get(name, 0) for name in list(series.columns)[1:])) for id_ in range(1, count + 1)]
    frame = pl.DataFrame(rows, schema=series.columns, orient="row")
    marker = Marker(
        series=series.name, source="writer", tick=tick, assets=count, rejected=0, duplicates=0,
        duration=timedelta(), observed_at=tick, credits=0.0, interval=timedelta(minutes=1), unchanged=False,
        backfilled=False, ids=pack_ids(frame["cmc_id"]),
    )  # fmt: skip
    return Snapshot(series, marker, frame)


class Halting:
    """Rows that stop in the middle: it prints a line on stdout and goes on after a line on stdin."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def __getitem__(self, name: str) -> pl.Series:
        return self._rows[name]

    def with_columns(self, *columns: pl.Series) -> "Halting":
        return Halting(self._rows.with_columns(*columns))

    def drop(self, names: Sequence[str]) -> "Halting":
        return Halting(self._rows.drop(names))

    def iter_rows(self) -> Iterator[Any]:
        for number, row in enumerate(self._rows.iter_rows()):
            if number == len(self._rows) // 2:
                print("half", flush=True)
                sys.stdin.readline()
            yield row


async def write(path: Path, how: str, first: datetime) -> None:
    store = SqliteStore(path, clock=utc_now)
    if how == "slowly":
        whole = snapshot(PRICE, first, 0)
        await store.write(Snapshot(whole.series, whole.marker, Halting(whole.rows)))  # type: ignore[arg-type]
        print("whole", flush=True)
    else:
        for number in range(MANY):
            await asyncio.gather(*(store.write(snapshot(series, first, number)) for series in SERIES))
    await store.close()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], datetime.fromisoformat(sys.argv[3])))
