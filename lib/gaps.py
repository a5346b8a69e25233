"""The gap ledger: expected ticks against markers, each gap with its cause where one was written down."""

import asyncio
import errno
import os
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import orjson
import structlog

from lib.clock import from_epoch, slot
from lib.errors import (
    SnapshotRefused,
    SourceExhausted,
    SourceMalformed,
    SourceRejected,
    SourceUnavailable,
    SpoolUnavailable,
    StoreMalformed,
    StoreRejected,
    StoreUnavailable,
)
from lib.snapshot import Marker
from lib.spool import waiting
from lib.store import Store

log = structlog.get_logger()

FILE = "misses.jsonl"
LARGEST = 2**20
"""The ledger keeps about the newest ten thousand misses."""

MOST_HELD = 1440
"""So many misses wait for a disk that does not take them."""

Cause = Literal[
    "credits", "source refused us", "source away", "source malformed", "snapshot refused", "spool", "store", "busy",
    "crash", "not running",
]  # fmt: skip
"""Why a tick has no snapshot.

- credits, source refused us, source away, source malformed: the upstream, by what it answered
- snapshot refused: its rows did not pass the gate
- spool: our own disk did not take it
- store: fetched, but the store does not have it: it waits in the spool, or could not wait any longer
- busy: the tick before was not done
- crash: our own error, told in the log
- not running: nothing was written down, or the machine slept: we were down
"""

CAUSES: Sequence[tuple[type[Exception], Cause]] = (
    (SourceExhausted, "credits"),
    (SourceRejected, "source refused us"),
    (SourceUnavailable, "source away"),
    (SourceMalformed, "source malformed"),
    (SnapshotRefused, "snapshot refused"),
    (SpoolUnavailable, "spool"),
    (StoreUnavailable, "store"),
    (StoreRejected, "store"),
    (StoreMalformed, "store"),
)
UNKNOWN: Cause = "not running"
WAITS = "fetched, and waits in the spool for the store"


@dataclass(frozen=True, slots=True)
class Miss:
    """A tick that gave no snapshot, and why."""

    tick: datetime
    cause: Cause
    why: str


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
class Ledger:
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


def cause_of(error: Exception) -> Cause:
    """The cause a failed tick is written down with."""
    return next((cause for kind, cause in CAUSES if isinstance(error, kind)), "crash")


class Misses:
    """One series' failed ticks, in a file beside its spool. Only the newest are kept."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._held: deque[Miss] = deque(maxlen=MOST_HELD)

    def note(self, *misses: Miss) -> None:
        """Write misses down. Those a disk does not take now are held and written with the next."""
        held = len(self._held)
        self._held.extend(misses)
        try:
            self._write()
        except OSError as exc:
            if not held:
                log.warning("a miss can't be written down", file=str(self._file), why=exc.strerror)

    def _write(self) -> None:
        if not self._held:
            return
        if self._file.exists() and self._file.stat().st_size > LARGEST:
            self._halve()
        # Each line begins anew, so that half of one, left by a full disk, does not spoil the next.
        lines = [
            orjson.dumps({"tick": int(miss.tick.timestamp()), "cause": miss.cause, "why": miss.why[:500]})
            for miss in self._held
        ]
        with self._file.open("ab", buffering=0) as file:
            body = b"\n" + b"\n".join(lines) + b"\n"
            if file.write(body) < len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._held.clear()

    def _halve(self) -> None:
        kept = self._file.read_bytes()[-LARGEST // 2 :].partition(b"\n")[2]
        part = self._file.with_suffix(".part")
        part.write_bytes(kept)
        os.replace(part, self._file)


def noted(folder: Path, start: datetime, stop: datetime) -> list[Miss]:
    """The misses with start <= tick <= stop; a line that can't be read is left out."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            told = orjson.loads(line)
            miss = Miss(from_epoch(told["tick"]), told["cause"], str(told["why"]))
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
        if start <= miss.tick <= stop and miss.cause in get_args(Cause):
            found.append(miss)
    return found


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


def gaps(markers: Sequence[Marker], missing: Sequence[datetime], misses: Iterable[Miss]) -> list[Gap]:
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


def _gap(run: Sequence[datetime], written: Mapping[datetime, Miss]) -> Gap:
    known = [written[at] for at in run if at in written]
    causes: Counter[Cause] = Counter(miss.cause for miss in known)
    if nothing := len(run) - len(known):
        causes[UNKNOWN] += nothing
    cause = causes.most_common(1)[0][0]
    why = next((miss.why for miss in reversed(known) if miss.cause == cause), None)
    return Gap(run[0], run[-1], len(run), cause, why, causes)


async def ledger(store: Store, series: str, start: datetime, stop: datetime, *, now: datetime, folder: Path) -> Ledger:
    """The gaps of a series with start <= tick <= stop; `folder` is its spool's, and need not be there.

    A tick is expected once its slot and one interval are past. Before the first snapshot of all no tick is expected,
    but those that are known to have failed are missing.
    """
    before, stored, misses = await asyncio.gather(
        store.nearest(series, start - timedelta(seconds=1)),
        store.markers(start, stop, series=series),
        asyncio.to_thread(_misses, folder, start, stop),
    )
    markers = [*([before] if before else []), *stored]
    begun = slot(markers[0].tick, markers[0].interval) if markers else stop + timedelta.resolution
    missing = sorted({miss.tick for miss in misses if miss.tick < begun})
    if markers:
        due = min(stop, now - paces(markers)[-1])
        missing += [at for at in expected(markers, due) if at >= start]
    return Ledger(stored, gaps(markers, missing, misses))


def _misses(folder: Path, start: datetime, stop: datetime) -> list[Miss]:
    """What was written down, and what lies in the spool: fetched, and not in the store."""
    held = [Miss(entry.tick, "store", WAITS) for entry in waiting(folder) if start <= entry.tick <= stop]
    return [*noted(folder, start, stop), *held]
