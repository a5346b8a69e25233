"""How each series stands: its newest tick, and the last hour's expected against stored ticks."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ValidationError

from lib.clock import slot
from lib.credits import FILE as PLAN_FILE
from lib.snapshot import Marker
from lib.spool import counted
from lib.store import Store

HOUR = timedelta(hours=1)


class SpoolStatus(BaseModel):
    """What became of the snapshots that passed the gate: fetched = stored + spooled + dropped."""

    fetched: int
    stored: int
    spooled: int
    dropped: int
    spooled_bytes: int


class CreditStatus(BaseModel):
    """What is left of the source's key as its planner saw it, and until when it lasts; null: beyond the reset."""

    source: str
    left: float
    limit: float
    resets_at: datetime
    told_at: datetime
    per_day: float
    lasts_until: datetime | None
    interval_s: float


class SeriesStatus(BaseModel):
    """One series. Without a snapshot `tick` is null. A tick is expected once its slot and one interval are past.

    `spool` and `plan` are null where the ingestor's spool folder can't be seen from here.
    """

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
    spool: SpoolStatus | None
    plan: CreditStatus | None


class Status(BaseModel):
    """How the stack stands, as the store shows it."""

    now: datetime
    series: dict[str, SeriesStatus]


async def status(store: Store, series: Sequence[str], now: datetime, *, spools: Path) -> Status:
    """The status of each series at `now`; `spools` is the folder of the ingestors' spools."""
    found = await asyncio.gather(*(_series(store, name, now, spools / name) for name in series))
    return Status(now=now.replace(microsecond=0), series=dict(zip(series, found, strict=True)))


async def _series(store: Store, name: str, now: datetime, folder: Path) -> SeriesStatus:
    newest, first, hour, spool, plan = await asyncio.gather(
        store.nearest(name, now),
        store.first(name),
        store.markers(now - HOUR, now, series=name),
        asyncio.to_thread(_spool, folder),
        asyncio.to_thread(_plan, folder),
    )
    if newest is None or first is None:
        return SeriesStatus(
            tick=None, age_s=None, source=None, assets=0, rejected=0, duplicates=0, credits=0, credits_last_hour=0,
            interval_s=None, unchanged=False, next_tick=None, expected_last_hour=0, stored_last_hour=0, spool=spool,
            plan=plan,
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
        spool=spool,
        plan=plan,
    )


def _spool(folder: Path) -> SpoolStatus | None:
    if not folder.is_dir():
        return None
    counts = counted(folder)
    return SpoolStatus(
        fetched=counts.fetched,
        stored=counts.stored,
        spooled=counts.spooled,
        dropped=counts.dropped,
        spooled_bytes=counts.spooled_bytes,
    )


def _plan(folder: Path) -> CreditStatus | None:
    try:
        return CreditStatus.model_validate_json((folder / PLAN_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


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
