"""One history for all that is asked of the boards."""

import asyncio
from collections.abc import Iterator

import pytest

from lib.clock import slot, utc_now
from tests.boards.buckets import buckets
from tests.boards.history import HOUR, STEP, History, fill
from tests.influxd import Influxd


@pytest.fixture(scope="session")
def history(influxd: Influxd) -> Iterator[History]:
    """The history in its own bucket. It ends twenty minutes before the newest full hour."""
    with buckets(influxd, "boards") as bucket:
        filled = History(bucket, slot(utc_now(), HOUR) - 2 * STEP, {})
        asyncio.run(fill(filled))
        yield filled
