"""One history for all that is asked of the boards."""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lib.clock import slot, utc_now
from tests.boards.history import HOUR, STEP, History, fill
from tests.influxd import Bucket, Influxd


@pytest.fixture(scope="session")
def history(influxd: Influxd) -> Iterator[History]:
    """The history in its own bucket. It ends twenty minutes before the newest full hour."""
    bucket = Bucket(influxd, f"boards_{uuid.uuid4().hex}")
    names = (bucket.name, f"{bucket.name}_hourly", f"{bucket.name}_metrics")
    for name in names:
        influxd.make_bucket(name)
    filled = History(bucket, slot(utc_now(), HOUR) - 2 * STEP, {})
    asyncio.run(_fill(filled))
    yield filled
    for name in names:
        influxd.drop_bucket(name)


async def _fill(history: History) -> None:
    raw = history.bucket.store(utc_now)
    long = replace(history.bucket, name=f"{history.bucket.name}_hourly").store(utc_now)
    await fill(history, raw, long)
    await raw.close()
    await long.close()
