"""The gap ledger: expected ticks against markers, each gap with its cause where one was written down."""

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

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
    TopcoinsError,
)
from lib.snapshot import Marker

log = structlog.get_logger()

FILE = "misses.jsonl"
LARGEST = 2**20
"""The ledger keeps about the newest ten thousand misses."""

CAUSES: Sequence[tuple[type[TopcoinsError], str]] = (
    (SourceExhausted, "credits"),
    (SourceRejected, "source refused us"),
    (SourceUnavailable, "source away"),
    (SourceMalformed, "source malformed"),
    (SnapshotRefused, "snapshot refused"),
    (SpoolUnavailable, "spool"),
)
UNKNOWN = "not running"
"""Nothing was written down for the tick: the ingestor was down, or busy with the tick before."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A tick that gave no snapshot, and why."""

    tick: datetime
    cause: str
    why: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Expected ticks without a marker, from `first` to `last`; the cause is that of most of them."""

    first: datetime
    last: datetime
    ticks: int
    cause: str
    why: str | None


def cause_of(error: TopcoinsError) -> str:
    """The cause a failed tick is written down with."""
    return next((cause for kind, cause in CAUSES if isinstance(error, kind)), "other")


class Misses:
    """One series' failed ticks, in a file beside its spool. Only the newest are kept."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def note(self, miss: Miss) -> None:
        """Write a miss down. A disk that does not take it is logged, and no error: the gap shows anyway."""
        line = orjson.dumps({"tick": int(miss.tick.timestamp()), "cause": miss.cause, "why": miss.why[:500]}) + b"\n"
        try:
            if self._file.exists() and self._file.stat().st_size > LARGEST:
                self._halve()
            with self._file.open("ab") as file:
                file.write(line)
        except OSError as exc:
            log.warning("a miss can't be written down", file=str(self._file), why=exc.strerror)

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
            miss = Miss(from_epoch(told["tick"]), told["cause"], told["why"])
        except (orjson.JSONDecodeError, KeyError, TypeError, OverflowError):
            continue
        if start <= miss.tick <= stop:
            found.append(miss)
    return found


def expected(markers: Sequence[Marker], stop: datetime) -> list[datetime]:
    """The slots between the markers, and after the last up to `stop`, each at the interval of the marker before."""
    slots: list[datetime] = []
    following = [marker.tick for marker in markers[1:]]
    for marker, until in zip(markers, [*following, stop + timedelta.resolution], strict=True):
        at = slot(marker.tick, marker.interval) + marker.interval
        while at < until:
            slots.append(at)
            at += marker.interval
    # A marker holds for its own slot: a first fetch's is stamped within it.
    taken = {slot(marker.tick, marker.interval) for marker in markers}
    return [at for at in slots if at not in taken]


def gaps(markers: Sequence[Marker], missing: Iterable[datetime], misses: Iterable[Miss]) -> list[Gap]:
    """The missing slots as gaps: those with no marker between them are one."""
    written = {miss.tick: miss for miss in misses}
    ticks = [marker.tick for marker in markers]
    runs = groupby(missing, key=lambda at: bisect_right(ticks, at))
    return [_gap(list(run), written) for _, run in runs]


def _gap(run: Sequence[datetime], written: dict[datetime, Miss]) -> Gap:
    known = [written[at] for at in run if at in written]
    causes = Counter(miss.cause for miss in known)
    causes[UNKNOWN] += len(run) - len(known)
    cause = causes.most_common(1)[0][0]
    why = next((miss.why for miss in known if miss.cause == cause), None)
    return Gap(run[0], run[-1], len(run), cause, why)
