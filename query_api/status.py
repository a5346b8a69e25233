"""How each series stands: its newest tick, and the last hour's expected against stored ticks."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel

from lib.clock import slot
from lib.snapshot import Marker
from lib.store import Store

HOUR = timedelta(hours=1)


class SeriesStatus(BaseModel):
    """One series. Without a snapshot `tick` is null. A tick is expected once its slot and one interval are past."""

    tick: datetime | None
    age_s: float | None
    source: str | None
    assets: int
    rejected: int
    duplicates: int
    credits: float
    credits_last_hour: float
    interval_s: float | None
    unchanged: bool
    next_tick: datetime | None
    expected_last_hour: int
    stored_last_hour: int


class Status(BaseModel):
    """How the stack stands, as the store shows it."""

    now: datetime
    series: dict[str, SeriesStatus]


async def status(store: Store, series: Sequence[str], now: datetime) -> Status:
    """The status of each series at `now`."""
    found = await asyncio.gather(*(_series(store, name, now) for name in series))
    return Status(now=now.replace(microsecond=0), series=dict(zip(series, found, strict=True)))


async def _series(store: Store, name: str, now: datetime) -> SeriesStatus:
    newest, first, hour = await asyncio.gather(
        store.nearest(name, now), store.first(name), store.markers(now - HOUR, now, series=name)
    )
    if newest is None or first is None:
        return SeriesStatus(
            tick=None, age_s=None, source=None, assets=0, rejected=0, duplicates=0, credits=0, credits_last_hour=0,
            interval_s=None, unchanged=False, next_tick=None, expected_last_hour=0, stored_last_hour=0,
        )  # fmt: skip
    expected = expected_slots(max(now - HOUR, first.tick), now - newest.interval, newest.interval)
    stored = {slot(marker.tick, newest.interval) for marker in hour}
    return SeriesStatus(
        tick=newest.tick,
        age_s=(now - newest.tick).total_seconds(),
        source=newest.source,
        assets=newest.assets,
        rejected=newest.rejected,
        duplicates=newest.duplicates,
        credits=newest.credits,
        credits_last_hour=sum(marker.credits for marker in hour),
        interval_s=newest.interval.total_seconds(),
        unchanged=newest.unchanged,
        next_tick=next_tick(newest),
        expected_last_hour=len(expected),
        stored_last_hour=len(stored & set(expected)),
    )


def next_tick(marker: Marker) -> datetime:
    """The slot after a marker's."""
    return slot(marker.tick, marker.interval) + marker.interval


def expected_slots(start: datetime, stop: datetime, interval: timedelta) -> list[datetime]:
    """The slots of an interval with start <= slot <= stop."""
    at = slot(start, interval)
    slots = []
    while at <= stop:
        if at >= start:
            slots.append(at)
        at += interval
    return slots
