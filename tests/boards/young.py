"""A stack from its first tick to the first hour after a day's pause: what the boards show to an operator who begins."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lib.clock import HOUR, slot, utc_now
from lib.schema import OWN
from lib.simulator.history import Past, sources
from lib.simulator.market import Market
from lib.simulator.past import ToBothBuckets
from lib.store.influx.flux import hourly, metrics
from tests.boards.buckets import BulkStore, buckets, write
from tests.influxd import Bucket, Influxd

ASSETS = 25
STEP = HOUR
LATER = timedelta(seconds=30)
"""Ranks are fetched so long after prices."""
BEFORE, PAUSE, AFTER = 23 * HOUR, 25 * HOUR, HOUR
MINUTE = timedelta(minutes=1)
CAUSE = "source away"
NOTICE = "The market is simulated"


@dataclass(frozen=True, slots=True)
class Young:
    """Prices begin at `first`, ranks one step later. After 23 hours nothing is stored for 25 hours."""

    bucket: Bucket
    first: datetime

    @property
    def pause(self) -> tuple[datetime, datetime]:
        """The ticks around the pause."""
        return self.first + BEFORE, self.first + BEFORE + PAUSE

    def ticks(self, series: str) -> list[datetime]:
        """The ticks that are stored."""
        last, again = self.pause
        first = self.first + (STEP if series == "volume_rank" else timedelta())
        later = LATER if series == "volume_rank" else timedelta()
        ticks = [
            *(first + n * STEP for n in range((last - first) // STEP + 1)),
            *(again + n * STEP for n in range(AFTER // STEP + 1)),
        ]
        return [tick + later for tick in ticks]


@contextmanager
def young(influxd: Influxd) -> Iterator[Young]:
    """The stack's three buckets, filled."""
    with buckets(influxd, "young") as bucket:
        made = Young(bucket, slot(utc_now(), HOUR) - BEFORE - PAUSE - AFTER - HOUR)
        asyncio.run(_fill(made))
        yield made


async def _fill(made: Young) -> None:
    store = BulkStore(made.bucket)
    by_hours = BulkStore(replace(made.bucket, name=hourly(made.bucket.name)))
    market = Market(1, ASSETS)
    for file, series in zip(sources(), OWN, strict=True):
        past = Past(file, market, store, ToBothBuckets(store, by_hours), assets=ASSETS)
        await past.fill(made.ticks(series), STEP, lambda: None)
        await past.close()
    await store.close()
    await by_hours.close()
    await write(made.bucket, metrics(made.bucket.name), b"\n".join(_metrics(made)))


def _metrics(made: Young) -> Iterator[bytes]:
    """What the scraper wrote, each minute of the last hour and around the pause."""
    last, again = made.pause
    for series in OWN:
        for n in range(1, PAUSE // STEP):
            at = last + (n + 1) * STEP + MINUTE
            for cause, count in ((CAUSE, min(n, 3)), ("not running", int(n == 1))):
                tags = f"series={series},cause={cause.replace(' ', chr(92) + ' ')}"
                yield f"topcoins_gap_ticks_last_hour,{tags} gauge={count} {int(at.timestamp())}".encode()
    for minute in range(10 * 60):
        stamp = int((again - 9 * HOUR + minute * MINUTE).timestamp())
        yield from (f"{line} {stamp}".encode() for line in exposition(minute))


def exposition(minute: int) -> Iterator[str]:
    """An API with a request a second, three of five within 5 ms, all within 50 ms; its disk loses 1 GB an hour."""
    yield f"topcoins_info,version=0.2.0,notice={NOTICE.replace(' ', chr(92) + ' ')} gauge=1"
    yield "topcoins_store_up gauge=1"
    yield f"topcoins_disk_free_bytes gauge={50e9 - minute / 60 * 1e9}"
    yield f"topcoins_http_requests_total,route=/v1/top,status=200 counter={60 * minute}"
    yield f"topcoins_http_requests_total,route=/v1/top,status=503 counter={6 * minute}"
    counts = {"0.001": 0, "0.005": 36, "0.01": 36, "0.05": 60, "+Inf": 60, "count": 60, "sum": 1}
    fields = ",".join(f"{name}={each * minute}" for name, each in counts.items())
    yield f"topcoins_http_duration_seconds,route=/v1/top {fields}"
    for series in OWN:
        yield f"topcoins_spooled_snapshots,series={series} gauge={minute % 2}"
        yield f"topcoins_dropped_snapshots,series={series} gauge={minute // 100}"
        yield f"topcoins_doubtful_lists,series={series} gauge=0"
        yield f"topcoins_credits_suffice,series={series} gauge={int(series == 'price')}"
        yield f"topcoins_source_failovers_total,series={series} counter={minute // 100}"
