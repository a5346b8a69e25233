"""The gap ledger: expected ticks against markers, each gap with its cause where one was written down."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from lib.clock import slot
from lib.ingest.missed import UNKNOWN, Cause, MissedTick, find_missed
from lib.snapshot import Marker
from lib.store import Store


@dataclass(frozen=True, slots=True)
class Gap:
    """Expected ticks without a marker, from `first` to `last`; the cause is that of most of them."""

    first: datetime
    last: datetime
    ticks: int
    cause: Cause
    why: str | None
    causes: Mapping[Cause, int]


@dataclass(frozen=True, slots=True)
class SeriesGaps:
    """One series between two instants: the ticks it was to have, those it has, and the gaps between them."""

    markers: Sequence[Marker]
    gaps: Sequence[Gap]

    @property
    def stored(self) -> int:
        """Ticks with a snapshot."""
        return len(self.markers)

    @property
    def missing(self) -> int:
        """Expected ticks without a snapshot."""
        return sum(gap.ticks for gap in self.gaps)

    @property
    def expected(self) -> int:
        """Every tick it was to have."""
        return self.stored + self.missing

    @property
    def causes(self) -> Counter[Cause]:
        """The missing ticks by cause."""
        return sum((Counter(gap.causes) for gap in self.gaps), Counter())


def paces(markers: Sequence[Marker]) -> list[timedelta]:
    """The interval that holds after each marker: a day's list that was filled in makes no minute less expected."""
    held: list[timedelta] = []
    for marker in markers:
        held.append(min(marker.interval, held[-1]) if marker.backfilled and held else marker.interval)
    return held


def expected(markers: Sequence[Marker], stop: datetime) -> list[datetime]:
    """The slots between the markers, and after the last up to `stop`, each at the interval of the marker before."""
    slots: list[datetime] = []
    intervals = paces(markers)
    following = [marker.tick for marker in markers[1:]]
    for marker, interval, until in zip(markers, intervals, [*following, stop + timedelta.resolution], strict=True):
        at = slot(marker.tick, interval) + interval
        while at < until:
            slots.append(at)
            at += interval
    # A marker holds for its own slot: a first fetch's is stamped within it.
    taken = {slot(marker.tick, interval) for marker, interval in zip(markers, intervals, strict=True)}
    return [at for at in slots if at not in taken]


def gaps(markers: Sequence[Marker], missing: Sequence[datetime], misses: Iterable[MissedTick]) -> list[Gap]:
    """The missing slots as gaps: those with no marker between them are one. A miss belongs to the slot it is in."""
    ticks = [marker.tick for marker in markers]
    known = sorted([*ticks, *missing])
    written = {}
    for miss in misses:
        place = bisect_right(known, miss.tick) - 1
        if place >= 0 and (not markers or miss.tick < known[-1] + paces(markers)[-1]):
            written[known[place]] = miss
    runs = groupby(missing, key=lambda at: bisect_right(ticks, at))
    return [_gap(list(run), written) for _, run in runs]


def _gap(run: Sequence[datetime], written: Mapping[datetime, MissedTick]) -> Gap:
    known = [written[at] for at in run if at in written]
    causes: Counter[Cause] = Counter(miss.cause for miss in known)
    if nothing := len(run) - len(known):
        causes[UNKNOWN] += nothing
    cause = causes.most_common(1)[0][0]
    why = next((miss.why for miss in reversed(known) if miss.cause == cause), None)
    return Gap(run[0], run[-1], len(run), cause, why, causes)


async def find_gaps(
    store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path
) -> SeriesGaps:
    """The gaps of a series with start <= tick <= stop; `folder` is its spool's, and need not be there.

    A tick is expected once its slot and one interval are past. Before the first snapshot of all no tick is expected,
    but those that are known to have failed are missing.
    """
    before, stored, misses = await asyncio.gather(
        store.nearest(series, start - timedelta(seconds=1)),
        store.markers(start, stop, series=series),
        asyncio.to_thread(find_missed, folder, start, stop),
    )
    markers = [*([before] if before else []), *stored]
    begun = slot(markers[0].tick, markers[0].interval) if markers else stop + timedelta.resolution
    missing = sorted({miss.tick for miss in misses if miss.tick < begun})
    if markers:
        due = min(stop, now - paces(markers)[-1])
        missing += [at for at in expected(markers, due) if at >= start]
    return SeriesGaps(stored, gaps(markers, missing, misses))
