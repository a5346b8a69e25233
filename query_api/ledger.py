"""`/v1/gaps`: where the archive has holes, and why."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from lib.gaps import expected, gaps, noted
from lib.store import Store

LONGEST = timedelta(days=7)


class GapAnswer(BaseModel):
    """Expected ticks without a snapshot, from `first` to `last`; the cause is that of most of them."""

    first: datetime
    last: datetime
    ticks: int
    cause: str
    why: str | None


class SeriesGaps(BaseModel):
    """One series: stored + missing = expected, from its first snapshot on."""

    expected: int
    stored: int
    missing: int
    gaps: list[GapAnswer]


class GapsAnswer(BaseModel):
    """The gaps of every series between two instants."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    series: dict[str, SeriesGaps]


async def ledger(
    store: Store, series: Sequence[str], start: datetime, stop: datetime, *, now: datetime, spools: Path
) -> GapsAnswer:
    """The gaps with start <= tick <= stop. A tick is expected once its slot and one interval are past."""
    found = await asyncio.gather(*(_of(store, name, start, stop, now, spools / name) for name in series))
    return GapsAnswer(start=start, stop=stop, series=dict(zip(series, found, strict=True)))


async def _of(store: Store, name: str, start: datetime, stop: datetime, now: datetime, folder: Path) -> SeriesGaps:
    before, stored, misses = await asyncio.gather(
        store.nearest(name, start - timedelta(seconds=1)),
        store.markers(start, stop, series=name),
        asyncio.to_thread(noted, folder, start, stop),
    )
    markers = [*([before] if before else []), *stored]
    if not markers:
        return SeriesGaps(expected=0, stored=0, missing=0, gaps=[])
    due = min(stop, now - markers[-1].interval)
    missing = [at for at in expected(markers, due) if at >= start]
    found = [
        GapAnswer(first=gap.first, last=gap.last, ticks=gap.ticks, cause=gap.cause, why=gap.why)
        for gap in gaps(markers, missing, misses)
    ]
    return SeriesGaps(expected=len(stored) + len(missing), stored=len(stored), missing=len(missing), gaps=found)
