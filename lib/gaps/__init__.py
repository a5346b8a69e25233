"""Which expected ticks have no snapshot, and why: stored ticks against the interval in force, with recorded causes.

Before the store's horizon only the first tick of each hour is kept, so there one tick an hour is expected.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Protocol, Unpack, runtime_checkable

from lib.clock import HOUR, SECOND, from_epoch, slot
from lib.gaps.slots import Attempt, Evidence, missing_between
from lib.ingest.missed import UNKNOWN, Cause, MissedTick, find_missed
from lib.snapshot import StoredTick
from lib.store import Resolution, Store, WantedTicks

__all__ = [
    "Attempt", "Evidence", "Gap", "RemembersMissed", "SeriesGaps", "find_gaps", "gaps_between", "missing_ticks",
]  # fmt: skip
LONGEST_INTERVAL = timedelta(days=1)
LOOK_BACK = timedelta(minutes=15)
"""The newest tick before a window is most often so near that it is read with the window's own."""
Part = tuple[datetime, datetime, Resolution]
"""A span, and the resolution of its ticks."""


class TickSource(Protocol):
    """Gives ticks: a store, or what was read of it already."""

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""


@runtime_checkable
class RemembersMissed(Protocol):
    """A store that also has the missed ticks that a spool's folder has forgotten."""

    async def missed(self, series: str, start: datetime, stop: datetime) -> list[MissedTick]:
        """The missed ticks with start <= tick <= stop."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Expected ticks without a snapshot, from `first` to `last`; the cause is that of most of them.

    `causes` counts them all: those of the upstream (credits, source away, source refused us, source malformed,
    snapshot refused), of the store (store: the snapshot waits in the spool, or was dropped from it), our own (spool,
    busy, crash, not running) and an operator's (withdrawn). `why` is the text of the newest error.
    """

    first: datetime
    last: datetime
    ticks: int
    cause: Cause
    why: str | None
    causes: Mapping[Cause, int]


@dataclass(frozen=True, slots=True)
class SeriesGaps:
    """One series between two instants: how many ticks it has, and the gaps."""

    stored: int
    gaps: Sequence[Gap]

    @property
    def missing(self) -> int:
        """Expected ticks without a snapshot."""
        return sum(gap.ticks for gap in self.gaps)

    @property
    def expected(self) -> int:
        """Stored and missing ticks."""
        return self.stored + self.missing

    @property
    def causes(self) -> Counter[Cause]:
        """The missing ticks by cause."""
        return sum((Counter(gap.causes) for gap in self.gaps), Counter())


async def find_gaps(
    store: Store,
    series: str,
    start: datetime,
    stop: datetime,
    *,
    now: datetime,
    folder: Path,
    ticks: TickSource | None = None,
) -> SeriesGaps:
    """The gaps of a series with start <= tick <= stop; `folder` is its spool's and need not exist.

    `ticks` has the ticks of the store, by default the store itself.

    A tick is expected once its slot and one interval are past. Before the first snapshot none is expected,
    but ticks that were recorded as missed are missing.
    """
    missed = await _recorded(store, series, start, stop, folder)
    found = [
        await asyncio.to_thread(
            gaps_between, await _evidence(ticks or store, series, part, now, missed), *part[:2], now
        )
        for part in _parts(store.horizon(), start, stop)
    ]
    return SeriesGaps(sum(part.stored for part in found), [gap for part in found for gap in part.gaps])


async def missing_ticks(
    store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path
) -> list[MissedTick]:
    """The missing ticks of `find_gaps`, each with its cause; `why` is empty where nothing was recorded."""
    missed = await _recorded(store, series, start, stop, folder)
    ticks: list[MissedTick] = []
    for part in _parts(store.horizon(), start, stop):
        evidence = await _evidence(store, series, part, now, missed)
        missing = await asyncio.to_thread(missing_between, evidence, *part[:2], now)
        ticks += [replace(miss, tick=at) if miss else MissedTick(at, UNKNOWN, "") for at, miss in missing.items()]
    return ticks


def _parts(horizon: datetime, start: datetime, stop: datetime) -> Iterator[Part]:
    """The span of the hours before the store's horizon, and that of the minutes after it."""
    whole_hours = slot(horizon, HOUR) + HOUR
    if start < whole_hours:
        yield start, min(stop, whole_hours - SECOND), "1h"
    if stop >= whole_hours:
        yield max(start, whole_hours), stop, "1m"


async def _recorded(store: Store, series: str, start: datetime, stop: datetime, folder: Path) -> Sequence[MissedTick]:
    """The missed ticks of the spool's folder, and those around the span that only the archive still has."""
    start, stop = start - LONGEST_INTERVAL, stop + LONGEST_INTERVAL
    own = await asyncio.to_thread(find_missed, folder, from_epoch(0), stop)
    if not isinstance(store, RemembersMissed):
        return own
    known = {miss.tick for miss in own}
    return [*(miss for miss in await store.missed(series, start, stop) if miss.tick not in known), *own]


async def _evidence(
    ticks: TickSource, series: str, part: Part, now: datetime, missed: Sequence[MissedTick]
) -> Evidence:
    start, stop, resolution = part
    until = max(stop, min(stop + LONGEST_INTERVAL, now))  # the tick after the window shows the interval in its end
    first = start - LOOK_BACK if resolution == "1m" else start
    read = await ticks.stored_ticks(series, first, until, resolution=resolution)
    begin = bisect_left(read, start, key=attrgetter("tick"))
    near = [tick for tick in read[:begin] if not tick.backfilled]
    before = near[-1] if near else await ticks.newest_tick(series, start - SECOND)
    missing = [miss for miss in missed if miss.tick >= start]
    evidence = Evidence(_newest_attempt(before, missed, start), read[begin:], missing)
    return evidence.by_hours() if resolution == "1h" else evidence


def _newest_attempt(before: StoredTick | None, missed: Iterable[MissedTick], start: datetime) -> Attempt | None:
    """The newest attempt before `start`: a stored tick, or a later one that was missed."""
    if before is None:
        return None
    tried = [Attempt(miss.tick, miss.interval) for miss in missed if miss.interval and before.tick < miss.tick < start]
    return max([Attempt(before.tick, before.interval, not before.backfilled), *tried])


def gaps_between(evidence: Evidence, start: datetime, stop: datetime, now: datetime) -> SeriesGaps:
    """The gaps with start <= tick <= stop, each a run of missing slots with no stored tick between them."""
    missing = missing_between(evidence, start, stop, now)
    ticks = [tick.tick for tick in evidence.stored if tick.tick <= stop and not tick.withdrawn]
    runs = groupby(missing, key=lambda at: bisect_right(ticks, at))
    return SeriesGaps(len(ticks), [_gap(list(run), missing) for _, run in runs])


def _gap(run: Sequence[datetime], missing: Mapping[datetime, MissedTick | None]) -> Gap:
    recorded = [miss for at in run if (miss := missing[at])]
    causes: Counter[Cause] = Counter(miss.cause for miss in recorded)
    if unknown := len(run) - len(recorded):
        causes[UNKNOWN] += unknown
    cause = causes.most_common(1)[0][0]
    why = next((miss.why for miss in reversed(recorded) if miss.cause == cause), None)
    return Gap(run[0], run[-1], len(run), cause, why, causes)
