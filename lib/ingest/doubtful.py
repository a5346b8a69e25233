"""Lists in doubt: kept in a folder beside the spool, and what makes such a list the new level."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import orjson
import structlog

from lib.clock import DAY, from_epoch
from lib.errors import SnapshotDoubtful, SpoolUnavailable
from lib.ingest.plausible import differences
from lib.ingest.state_file import read_state
from lib.snapshot import Snapshot
from lib.snapshot_file import ENDING, DamagedFile, decode, encode, write_whole

log = structlog.get_logger()

FOLDER = "doubtful"
REASONS = ".json"
MOST = 100
"""The number of doubtful lists that are kept."""
AGREEING = 3
"""So many lists of one source that agree with each other set the new level."""
_NAME = re.compile(r"[0-9]{1,11}-")
GIVE_UP_AFTER = DAY
"""After this long without a plausible list the next one is accepted: no doubt lasts for ever."""


class DoubtfulLists:
    """The doubtful lists of one series. Without a folder only the last ones are remembered."""

    def __init__(self, folder: Path | None, since: datetime | None = None) -> None:
        self._folder = folder / FOLDER if folder else None
        self._recent: list[Snapshot] | None = None
        self.since = since
        """The tick of the first doubtful list since the last plausible one; None where that one was the last."""

    def why_accepted(
        self, snapshot: Snapshot, faults: Sequence[str], differences: Sequence[str], before: Snapshot | None
    ) -> str:
        """Why a list in doubt sets the new level; otherwise keeps it apart and raises SnapshotDoubtful.

        The level is what the next lists are compared with.
        """
        recent = self._lists_since(before)
        known = [self.since] if self.since and (before is None or self.since > before.tick) else []
        self.since = min([*known, snapshot.tick, *(each.tick for each in recent)])
        since = before.tick if before and not faults else self.since  # a faulty list is no better after an outage
        if snapshot.tick - since >= GIVE_UP_AFTER:
            return f"no plausible list came for {snapshot.tick - since}"
        same = [each for each in recent if each.marker.source == snapshot.marker.source]
        if not faults and _agree([*same, snapshot][-AGREEING:]):
            return f"{AGREEING} lists agree with each other"
        reasons = [*faults, *differences]
        self.keep(snapshot, reasons)
        raise SnapshotDoubtful(f"{snapshot.marker.source}: the list is doubtful: {'; '.join(reasons)}")

    def end(self) -> None:
        """A list was accepted: the doubt is over."""
        self._recent, self.since = [], None

    def _lists_since(self, before: Snapshot | None) -> list[Snapshot]:
        """The last doubtful lists after the snapshot before. After a restart they are read from the folder."""
        if self._recent is None:
            self._recent = []
            for entry in stored_lists(self._folder)[-2 * AGREEING :] if self._folder else []:
                with suppress(DamagedFile, OSError):
                    self._recent.append(decode(entry.read_bytes()))
        return [each for each in self._recent if before is None or each.tick > before.tick]

    def keep(self, snapshot: Snapshot, reasons: Sequence[str]) -> None:
        """Write a list in doubt to the folder; the oldest ones make room."""
        self._recent = [*(self._recent or []), snapshot][-2 * AGREEING :]
        if self._folder is None:
            return
        stem = f"{int(snapshot.tick.timestamp())}-{snapshot.marker.source}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / f"{stem}{ENDING}", encode(snapshot))
            write_whole(self._folder / f"{stem}{REASONS}", orjson.dumps(list(reasons)))
            for oldest in stored_lists(self._folder)[:-MOST]:
                drop(oldest)
        except OSError as exc:
            raise SpoolUnavailable(f"{self._folder}: {exc.strerror}") from exc


def _agree(lists: Sequence[Snapshot]) -> bool:
    return len(lists) == AGREEING and not any(differences(now, before) for before, now in pairwise(lists))


def stored_lists(folder: Path) -> list[Path]:
    """The files of a `doubtful` folder, oldest first; other files that lie there are none."""
    files = [path for path in folder.glob(f"*{ENDING}") if _NAME.match(path.name)]
    return sorted(files, key=lambda path: (path.name.partition("-")[0].zfill(20), path.name))


def reasons_of(path: Path) -> list[str]:
    """Why a list is in doubt; nothing where that can't be read."""
    return read_state(list[str], path.with_suffix(REASONS)) or []


def tick_of(path: Path) -> datetime:
    """The tick in a file's name."""
    return from_epoch(int(path.name.partition("-")[0]))


def drop(path: Path) -> None:
    """Remove a doubtful list."""
    path.unlink(missing_ok=True)
    path.with_suffix(REASONS).unlink(missing_ok=True)


def count_doubtful(folder: Path) -> int:
    """How many doubtful lists lie beside the spool of a series, for status and metrics."""
    return len(stored_lists(folder / FOLDER))
