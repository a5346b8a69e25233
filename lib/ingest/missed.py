"""The ticks an ingestor missed, and why: a small file beside its spool."""

import errno
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import orjson
import structlog

from lib.clock import from_epoch
from lib.errors import (
    ClockDisagrees,
    SnapshotDoubtful,
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
from lib.ingest.spool_folder import waiting

log = structlog.get_logger()


FILE = "misses.jsonl"


LARGEST = 2**20
"""The ledger keeps about the newest ten thousand misses."""


MOST_HELD = 1440
"""So many misses wait for a disk that does not take them."""


Cause = Literal[
    "credits", "source refused us", "source away", "source malformed", "snapshot refused", "clock", "doubtful", "spool",
    "store", "busy", "crash", "not running", "withdrawn",
]  # fmt: skip
"""Why a tick has no snapshot.

- credits, source refused us, source away, source malformed: the upstream, by what it answered
- snapshot refused: its rows did not pass the gate
- clock: our clock and the upstream's disagree
- doubtful: the list is complete but not plausible; it is kept apart
- spool: our own disk did not take it
- store: fetched, but the store does not have it: it waits in the spool, or could not wait any longer
- busy: the tick before was not done
- crash: our own error, told in the log
- not running: nothing was written down, or the machine slept: we were down
- withdrawn: stored, and withdrawn by an operator
"""


CAUSES: Sequence[tuple[type[Exception], Cause]] = (
    (SourceExhausted, "credits"),
    (SourceRejected, "source refused us"),
    (SourceUnavailable, "source away"),
    (SourceMalformed, "source malformed"),
    (ClockDisagrees, "clock"),
    (SnapshotDoubtful, "doubtful"),
    (SnapshotRefused, "snapshot refused"),
    (SpoolUnavailable, "spool"),
    (StoreUnavailable, "store"),
    (StoreRejected, "store"),
    (StoreMalformed, "store"),
)


UNKNOWN: Cause = "not running"


WAITS = "fetched, and waits in the spool for the store"


@dataclass(frozen=True, slots=True)
class MissedTick:
    """A tick that gave no snapshot, and why; `interval` is the one in force, None where it was not recorded."""

    tick: datetime
    cause: Cause
    why: str
    interval: timedelta | None = None

    def line(self) -> bytes:
        """As a line of JSON."""
        values = {"tick": int(self.tick.timestamp()), "cause": self.cause, "why": self.why[:500]}
        return orjson.dumps(values | ({"interval_s": self.interval.total_seconds()} if self.interval else {}))


def cause_of(error: Exception) -> Cause:
    """The cause a failed tick is written down with."""
    return next((cause for kind, cause in CAUSES if isinstance(error, kind)), "crash")


class MissedTicks:
    """One series' failed ticks, in a file beside its spool. Only the newest are kept."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._held: deque[MissedTick] = deque(maxlen=MOST_HELD)

    def record(self, *misses: MissedTick) -> None:
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
        lines = [miss.line() for miss in self._held]
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


def read_missed(folder: Path, start: datetime, stop: datetime) -> list[MissedTick]:
    """The misses with start <= tick <= stop; a line that can't be read is left out."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            values = orjson.loads(line)
            seconds = values.get("interval_s")
            interval = timedelta(seconds=seconds) if seconds else None
            miss = MissedTick(from_epoch(values["tick"]), values["cause"], str(values["why"]), interval)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
        if start <= miss.tick <= stop and miss.cause in get_args(Cause):
            found.append(miss)
    return found


def find_missed(folder: Path, start: datetime, stop: datetime) -> list[MissedTick]:
    """What was written down, and what lies in the spool: fetched, and not in the store."""
    held = [MissedTick(entry.tick, "store", WAITS) for entry in waiting(folder) if start <= entry.tick <= stop]
    return [*read_missed(folder, start, stop), *held]
