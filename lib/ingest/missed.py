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
from lib.snapshot_file import write_whole

log = structlog.get_logger()

FILE = "misses.jsonl"
LARGEST = 2**20
"""The file has about the newest ten thousand missed ticks."""
MOST_PENDING = 1440
"""The number of missed ticks that wait in memory when the disk refuses them."""

Cause = Literal[
    "credits", "source refused us", "source away", "source malformed", "snapshot refused", "clock", "doubtful", "spool",
    "store", "busy", "crash", "not running", "withdrawn",
]  # fmt: skip
"""Why a tick has no snapshot.

- credits, source refused us, source away, source malformed: the upstream, by its answer
- snapshot refused: no row passed the gate
- clock: our clock and the upstream's disagree
- doubtful: the list is complete but not plausible; it is kept apart
- spool: our own disk refused it
- store: fetched, but not in the store: it waits in the spool, or was dropped from it
- busy: the tick before was not finished
- crash: an error of our own, which the log has
- not running: nothing was recorded, or the machine slept
- withdrawn: stored, and withdrawn by an operator
"""

CAUSES: Sequence[tuple[type[Exception] | tuple[type[Exception], ...], Cause]] = (
    (SourceExhausted, "credits"),
    (SourceRejected, "source refused us"),
    (SourceUnavailable, "source away"),
    (SourceMalformed, "source malformed"),
    (ClockDisagrees, "clock"),
    (SnapshotDoubtful, "doubtful"),
    (SnapshotRefused, "snapshot refused"),
    (SpoolUnavailable, "spool"),
    ((StoreUnavailable, StoreRejected, StoreMalformed), "store"),
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
    """The cause of a tick that failed with this error."""
    return next((cause for kind, cause in CAUSES if isinstance(error, kind)), "crash")


class MissedTicks:
    """One series' failed ticks, in a file beside its spool that keeps the newest ones."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._pending: deque[MissedTick] = deque(maxlen=MOST_PENDING)

    def record(self, *missed: MissedTick) -> None:
        """Append missed ticks to the file. Those that the disk refuses are written with the next ones."""
        was_pending = bool(self._pending)
        self._pending.extend(missed)
        try:
            self._write()
        except OSError as exc:
            if not was_pending:
                log.warning("missed ticks can't be written", file=str(self._file), why=exc.strerror)

    def _write(self) -> None:
        if not self._pending:
            return
        if self._file.exists() and self._file.stat().st_size > LARGEST:
            write_whole(self._file, self._file.read_bytes()[-LARGEST // 2 :].partition(b"\n")[2])
        # Starts with a line end, so that half a line, left by a full disk, does not spoil the next.
        body = b"\n" + b"\n".join(missed.line() for missed in self._pending) + b"\n"
        with self._file.open("ab", buffering=0) as file:
            if file.write(body) < len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._pending.clear()


def read_missed(folder: Path, start: datetime, stop: datetime) -> list[MissedTick]:
    """The recorded ticks with start <= tick <= stop. Passes over lines that can't be read."""
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except OSError:
        return []
    recorded = []
    for line in lines:
        try:
            values = orjson.loads(line)
            seconds = values.get("interval_s")
            interval = timedelta(seconds=seconds) if seconds and seconds >= 1 else None
            missed = MissedTick(from_epoch(values["tick"]), values["cause"], str(values["why"]), interval)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, OSError):
            continue
        if start <= missed.tick <= stop and missed.cause in get_args(Cause):
            recorded.append(missed)
    return recorded


def find_missed(folder: Path, start: datetime, stop: datetime) -> list[MissedTick]:
    """The recorded ticks, and those whose snapshots wait in the spool for the store."""
    spooled = [MissedTick(entry.tick, "store", WAITS) for entry in waiting(folder) if start <= entry.tick <= stop]
    return [*read_missed(folder, start, stop), *spooled]
