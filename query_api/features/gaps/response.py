"""`/v1/gaps`: where the archive has holes, and why."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from lib.gaps import SeriesGaps, find_gaps
from lib.ingest.missed import Cause
from lib.store import Store

LONGEST = timedelta(days=7)


class GapAnswer(BaseModel):
    """Expected ticks without a snapshot, from `first` to `last`; the cause is that of most of them.

    `causes` counts them all: the upstream's doing (credits, source away, source refused us, source malformed, snapshot
    refused), the store's (store: the snapshot waits in the spool, or fell out of it), or ours (spool, busy, crash, not
    running). `why` is the newest error's text.
    """

    first: datetime
    last: datetime
    ticks: int
    cause: Cause
    why: str | None
    causes: Mapping[Cause, int]


class SeriesGapsAnswer(BaseModel):
    """One series: stored + missing = expected, from its first snapshot on."""

    expected: int
    stored: int
    missing: int
    gaps: list[GapAnswer]


class GapsAnswer(BaseModel):
    """The gaps of every series between two instants."""

    start: datetime = Field(serialization_alias="from")
    stop: datetime = Field(serialization_alias="to")
    series: dict[str, SeriesGapsAnswer]


async def answered(
    store: Store, series: Sequence[str], start: datetime, stop: datetime, *, now: datetime, spools: Path
) -> GapsAnswer:
    """The gaps with start <= tick <= stop. A tick is expected once its slot and one interval are past."""
    found = await asyncio.gather(
        *(find_gaps(store, name, start, stop, now=now, folder=spools / name) for name in series)
    )
    told = {name: _told(one) for name, one in zip(series, found, strict=True)}
    return GapsAnswer(start=start, stop=stop, series=told)


def _told(found: SeriesGaps) -> SeriesGapsAnswer:
    gaps = [
        GapAnswer(first=gap.first, last=gap.last, ticks=gap.ticks, cause=gap.cause, why=gap.why, causes=gap.causes)
        for gap in found.gaps
    ]
    return SeriesGapsAnswer(expected=found.expected, stored=found.stored, missing=found.missing, gaps=gaps)
