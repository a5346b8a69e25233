"""Where a tick's rows are in a part, by the manifest: a reader of a few ticks decodes no others."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from lib.archive.manifest import Manifest, Part
from lib.archive.tables import MARKERS


@dataclass(frozen=True, slots=True)
class Places:
    """The ticks of a part as epoch seconds, in order, and the number of rows up to the end of each."""

    name: str
    ticks: NDArray[np.int32]
    ends: NDArray[np.int32]

    @property
    def size(self) -> int:
        """The bytes that it takes."""
        return self.ticks.nbytes + self.ends.nbytes + 200

    def rows(self, start: datetime, stop: datetime) -> tuple[int, int]:
        """The first row with start <= tick <= stop, and how many there are."""
        first = np.searchsorted(self.ticks, start.timestamp(), "left")
        last = np.searchsorted(self.ticks, stop.timestamp(), "right")
        before = int(self.ends[first - 1]) if first else 0
        return before, (int(self.ends[last - 1]) if last else 0) - before


def places_of(manifest: Manifest) -> Iterator[tuple[str, Places | None]]:
    """The places in each part of a series and of the markers.

    None for a part that has other rows than those of its snapshots.
    """
    for part in manifest.parts:
        if part.rows and (part.table == MARKERS or part.table in manifest.snapshots):
            yield part.name, _places(manifest, part)


def _places(manifest: Manifest, part: Part) -> Places | None:
    tables = manifest.snapshots if part.table == MARKERS else (part.table,)
    ticks, rows = [], []
    for snapshots in [manifest.snapshots[name] for name in tables]:
        own = np.array(snapshots.parts) == part.number
        ticks.append(np.array(snapshots.ticks, np.int32)[own])
        rows.append(np.array(snapshots.rows if part.table != MARKERS else [1] * len(own), np.int32)[own])
    every = np.concatenate(ticks)
    order = np.argsort(every, kind="stable")
    ends = np.cumsum(np.concatenate(rows)[order], dtype=np.int32)
    return Places(part.name, every[order], ends) if len(ends) and ends[-1] == part.rows else None
