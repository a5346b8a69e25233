"""The three buckets of a stack whose boards are asked, and a store that fills one of them quickly."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Unpack

from lib.clock import utc_now
from lib.snapshot import Snapshot
from lib.store import View
from lib.store.influx import lines
from lib.store.influx.flux import hourly, metrics
from lib.store.influx.server import Server
from tests.influxd import Bucket, Influxd

A_REQUEST = 40
"""Snapshots that are written with one request: aiohttp warns of more than a megabyte."""


@contextmanager
def buckets(influxd: Influxd, prefix: str) -> Iterator[Bucket]:
    """A bucket with its hourly one and its metrics, for the time of the block."""
    bucket = Bucket(influxd, f"{prefix}_{uuid.uuid4().hex}")
    names = (bucket.name, hourly(bucket.name), metrics(bucket.name))
    for name in names:
        influxd.make_bucket(name)
    yield bucket
    for name in names:
        influxd.drop_bucket(name)


async def write(bucket: Bucket, name: str, *texts: bytes) -> None:
    """Write line protocol into a bucket of the same server, with one request for each text."""
    server = Server(bucket.server.url, org=bucket.server.org, token=bucket.token)
    try:
        for text in texts:
            await server.write(name, text)
    finally:
        await server.close()


class BulkStore:
    """Writes the lines that InfluxDB's store writes, many snapshots with each request, without claims.

    To an ingest it is empty. What is written is there once the store is closed.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._texts: list[bytes] = []

    async def write(self, snapshot: Snapshot) -> None:
        """Keep its lines until the store is closed."""
        marker = snapshot.marker.with_stored_at(utc_now())
        self._texts.append(lines.rows(snapshot) + b"\n" + lines.marker(marker))

    async def close(self) -> None:
        """Write all lines."""
        parts = [self._texts[at : at + A_REQUEST] for at in range(0, len(self._texts), A_REQUEST)]
        await write(self._bucket, self._bucket.name, *(b"\n".join(part) for part in parts))

    async def nearest(self, series: str, at: datetime) -> None:
        """Nothing is stored."""

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """Nothing is stored."""
        return []

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"ingest asked the store for {name}")
