"""Which expected ticks have no snapshot, and why: stored ticks against the interval in force, with recorded causes.

Before the store's horizon only the first tick of each hour is kept, so there one tick an hour is expected.
"""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from lib.clock import HOUR, SECOND, from_epoch, slot
from lib.ingest.missed import UNKNOWN, Cause, MissedTick, find_missed
from lib.snapshot import StoredTick
from lib.store import Resolution, Store

LONGEST_INTERVAL = timedelta(days=1)
WITHDRAWN = "stored, and withdrawn by an operator"


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


class Attempt(NamedTuple):
    """A tick that was tried, and the interval in force then; `live` unless it was bought or imported later."""

    tick: datetime
    interval: timedelta
    live: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a series around a window: `before` is the newest attempt before it, None before all data."""

    before: Attempt | None
    stored: Sequence[StoredTick]
    missed: Sequence[MissedTick] = ()

    def by_hours(self) -> "Evidence":
        """The same at a resolution of one tick an hour."""
        before = self.before and self.before._replace(interval=max(self.before.interval, HOUR))
        stored = [tick._replace(interval=max(tick.interval, HOUR)) for tick in self.stored]
        return Evidence(before, stored, [replace(m, interval=max(m.interval or HOUR, HOUR)) for m in self.missed])


async def find_gaps(
    store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path
) -> SeriesGaps:
    """The gaps of a series with start <= tick <= stop; `folder` is its spool's and need not exist.

    A tick is expected once its slot and one interval are past. Before the first snapshot none is expected,
    but ticks that were recorded as missed are missing.
    """
    found = [
        await asyncio.to_thread(gaps_between, evidence, first, last, now)
        for evidence, first, last in await _evidence_of_parts(store, series, start, stop, now=now, folder=folder)
    ]
    return SeriesGaps(sum(part.stored for part in found), [gap for part in found for gap in part.gaps])


async def missing_ticks(
    store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path
) -> list[MissedTick]:
    """The missing ticks of `find_gaps`, each with its cause; `why` is empty where nothing was recorded."""
    ticks: list[MissedTick] = []
    for evidence, first, last in await _evidence_of_parts(store, series, start, stop, now=now, folder=folder):
        missing = await asyncio.to_thread(_missing_between, evidence, first, last, now)
        ticks += [replace(miss, tick=at) if miss else MissedTick(at, UNKNOWN, "") for at, miss in missing.items()]
    return ticks


async def _evidence_of_parts(
    store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path
) -> list[tuple[Evidence, datetime, datetime]]:
    """The evidence of the hours before the store's horizon and of the minutes after it, each with its span."""
    whole_hours = slot(store.horizon(), HOUR) + HOUR
    parts: list[tuple[datetime, datetime, Resolution]] = []
    if start < whole_hours:
        parts.append((start, min(stop, whole_hours - SECOND), "1h"))
    if stop >= whole_hours:
        parts.append((max(start, whole_hours), stop, "1m"))
    missed = await asyncio.to_thread(find_missed, folder, from_epoch(0), stop + LONGEST_INTERVAL)
    return [
        (await _evidence(store, series, first, last, resolution, now=now, missed=missed), first, last)
        for first, last, resolution in parts
    ]


async def _evidence(
    store: Store,
    series: str,
    start: datetime,
    stop: datetime,
    resolution: Resolution,
    *,
    now: datetime,
    missed: Sequence[MissedTick],
) -> Evidence:
    until = max(stop, min(stop + LONGEST_INTERVAL, now))  # the tick after the window shows the interval in its end
    before, stored = await asyncio.gather(
        store.newest_tick(series, start - SECOND),
        store.stored_ticks(series, start, until, resolution=resolution),
    )
    evidence = Evidence(_newest_attempt(before, missed, start), stored, [miss for miss in missed if miss.tick >= start])
    return evidence.by_hours() if resolution == "1h" else evidence


def _newest_attempt(before: StoredTick | None, missed: Iterable[MissedTick], start: datetime) -> Attempt | None:
    """The newest attempt before `start`: a stored tick, or a later one that was missed."""
    if before is None:
        return None
    tried = [Attempt(miss.tick, miss.interval) for miss in missed if miss.interval and before.tick < miss.tick < start]
    return max([Attempt(before.tick, before.interval, not before.backfilled), *tried])


def gaps_between(evidence: Evidence, start: datetime, stop: datetime, now: datetime) -> SeriesGaps:
    """The gaps with start <= tick <= stop, each a run of missing slots with no stored tick between them."""
    missing = _missing_between(evidence, start, stop, now)
    ticks = [tick.tick for tick in evidence.stored if tick.tick <= stop and not tick.withdrawn]
    runs = groupby(missing, key=lambda at: bisect_right(ticks, at))
    return SeriesGaps(len(ticks), [_gap(list(run), missing) for _, run in runs])


def _missing_between(
    evidence: Evidence, start: datetime, stop: datetime, now: datetime
) -> dict[datetime, MissedTick | None]:
    """The missing slots in order, each with what was recorded of it."""
    slots = _Slots(start, now, evidence.before)
    events: list[StoredTick | MissedTick] = [*evidence.stored, *evidence.missed]
    for event in sorted(events, key=attrgetter("tick")):
        if isinstance(event, MissedTick):
            slots.add_missed(event)
        else:
            slots.add_stored(event)
    slots.end(stop)
    return {at: slots.missing[at] for at in sorted(slots.missing.keys() - slots.taken) if start <= at <= stop}


@dataclass(slots=True)
class _Slots:
    """Collects the slots that were due, and those a stored tick takes, from events in the order of their ticks."""

    start: datetime
    now: datetime
    last: Attempt | None
    due: datetime | None = None
    """The slot after that of the last attempt."""
    missing: dict[datetime, MissedTick | None] = field(default_factory=dict)
    taken: set[datetime] = field(default_factory=set)

    def add_stored(self, tick: StoredTick) -> None:
        """A stored tick takes its slot. After a live one, what was bought or imported does not change the interval."""
        if self._is_due(tick):
            self.taken.add(tick.tick)
            self.last, self.due = Attempt(tick.tick, tick.interval, not tick.backfilled), tick.tick + tick.interval
            return
        if tick.withdrawn:
            if not tick.backfilled:
                self.add_missed(MissedTick(tick.tick, "withdrawn", WITHDRAWN, tick.interval))
            return
        if self.last:
            self.taken.add(slot(tick.tick, self.last.interval))
        if self.last is None or not self.last.live or not tick.backfilled:
            self.taken.add(slot(tick.tick, tick.interval))
            self._follow(Attempt(tick.tick, tick.interval, not tick.backfilled))

    def add_missed(self, miss: MissedTick) -> None:
        """A recorded miss is a missing slot once it is past; before the first snapshot at once."""
        interval = miss.interval or (self.last.interval if self.last else SECOND)
        own = slot(miss.tick, interval)
        if self.last is None or own + interval <= self.now:
            self.missing[own] = miss
        if self.last:
            self._follow(Attempt(miss.tick, interval))

    def end(self, stop: datetime) -> None:
        """After the last event, slots up to `stop` are due once one interval is past."""
        if self.last:
            self._skip(self.last, min(stop, self.now - self.last.interval) + timedelta.resolution)

    def _is_due(self, tick: StoredTick) -> bool:
        """Whether a tick like the last one is exactly in the next slot. Almost all are: they need no arithmetic."""
        return (
            tick.tick == self.due
            and self.last is not None
            and tick.interval == self.last.interval
            and tick.backfilled != self.last.live
            and not tick.withdrawn
        )

    def _follow(self, attempt: Attempt) -> None:
        """The slots since the last attempt were due, unless this attempt is the next one at its own interval."""
        if self.last and attempt.tick != slot(self.last.tick, attempt.interval) + attempt.interval:
            self._skip(self.last, attempt.tick)
        self.last, self.due = attempt, slot(attempt.tick, attempt.interval) + attempt.interval

    def _skip(self, last: Attempt, until: datetime) -> None:
        for at in _slots_between(last.interval, max(last.tick, self.start - timedelta.resolution), until):
            self.missing.setdefault(at, None)


def _slots_between(interval: timedelta, after: datetime, until: datetime) -> Iterator[datetime]:
    at = slot(after, interval) + interval
    while at < until:
        yield at
        at += interval


def _gap(run: Sequence[datetime], missing: Mapping[datetime, MissedTick | None]) -> Gap:
    recorded = [miss for at in run if (miss := missing[at])]
    causes: Counter[Cause] = Counter(miss.cause for miss in recorded)
    if unknown := len(run) - len(recorded):
        causes[UNKNOWN] += unknown
    cause = causes.most_common(1)[0][0]
    why = next((miss.why for miss in reversed(recorded) if miss.cause == cause), None)
    return Gap(run[0], run[-1], len(run), cause, why, causes)
