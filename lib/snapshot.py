"""Snapshots and their markers: what the gate admits and the stores hold."""

import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from lib import schema
from lib.clock import HOUR, from_epoch, slot
from lib.errors import StoreMalformed
from lib.schema import Series

VOLUME = "volume_usd"


@dataclass(frozen=True, slots=True)
class Marker:
    """The record that says a snapshot is complete. It is written last; readers trust only snapshots that have one.

    `ids` are the packed ids of the snapshot's assets. `hash` is `content_hash`; old markers have none. `stored_at` is
    None until a store has the snapshot. A withdrawal changes its three fields and nothing else.
    `new_level`: the list looked doubtful beside the one before, and was accepted all the same.
    """

    series: str
    source: str
    tick: datetime
    assets: int
    rejected: int
    duplicates: int
    duration: timedelta
    observed_at: datetime
    credits: float
    interval: timedelta
    unchanged: bool
    backfilled: bool
    ids: str
    hash: str = ""
    stored_at: datetime | None = None
    withdrawn_at: datetime | None = None
    restored_at: datetime | None = None
    withdrawn_why: str | None = None
    new_level: bool = False

    @property
    def stored_tick(self) -> "StoredTick":
        """Its tick without the rest."""
        return StoredTick(self.tick, self.interval, self.backfilled, self.is_withdrawn())

    @property
    def known_tick(self) -> "StoredTick":
        """Its tick, with its source, since when it is visible, and the times of its withdrawal."""
        return self.stored_tick._replace(
            source=self.source,
            visible_since=self.visible_since,
            withdrawn_at=self.withdrawn_at,
            restored_at=self.restored_at,
        )

    @property
    def visible_since(self) -> datetime:
        """The first instant at which a reader could see it. Old markers have no `stored_at`: the end of the fetch."""
        return self.stored_at or self.observed_at + self.duration

    def with_stored_at(self, now: datetime) -> "Marker":
        """A copy with `stored_at` set to `now`, if it was not set already."""
        return self if self.stored_at else replace(self, stored_at=now)

    def is_withdrawn(self, known_at: datetime | None = None) -> bool:
        """Whether the tick was withdrawn, and not restored, at `known_at`; by default now."""
        return _reached(self.withdrawn_at, known_at) and not _reached(self.restored_at, known_at)

    def withdrawn(self, now: datetime, why: str) -> "Marker":
        """A copy withdrawn from `now` on; the same marker if it is withdrawn already."""
        return self if self.is_withdrawn() else replace(self, withdrawn_at=now, restored_at=None, withdrawn_why=why)

    def restored(self, now: datetime) -> "Marker":
        """A copy that answers again from `now` on; the same marker if it is not withdrawn."""
        return replace(self, restored_at=now) if self.is_withdrawn() else self

    def without_withdrawal(self) -> "Marker":
        """A copy as it was before it was ever withdrawn."""
        return replace(self, withdrawn_at=None, restored_at=None, withdrawn_why=None)


class StoredTick(NamedTuple):
    """What a marker says of its tick alone: cheap to read by the ten thousand.

    The last four are as in the marker, where they were read.
    """

    tick: datetime
    interval: timedelta
    backfilled: bool
    withdrawn: bool = False
    source: str = ""
    visible_since: datetime | None = None
    withdrawn_at: datetime | None = None
    restored_at: datetime | None = None

    def answers(self, known_at: datetime | None) -> bool:
        """Whether it was visible, and not withdrawn, at `known_at`; by default now."""
        if known_at is None or self.visible_since is None:
            return not self.withdrawn
        is_withdrawn = _reached(self.withdrawn_at, known_at) and not _reached(self.restored_at, known_at)
        return self.visible_since <= known_at and not is_withdrawn


T = TypeVar("T", Marker, StoredTick)
MARKER_KINDS = {name: (get_args(hint) or (hint,))[0] for name, hint in get_type_hints(Marker).items()}
"""The type of each field of a marker, without None."""
MARKER_FIELDS = {name: f"{name}_s" if kind is timedelta else name for name, kind in MARKER_KINDS.items()}
"""What a field is called where durations are numbers: these have the unit in their name."""
_READERS = {
    name: {datetime: from_epoch, timedelta: lambda seconds: timedelta(seconds=seconds)}.get(kind, kind)
    for name, kind in MARKER_KINDS.items()
}
WITHDRAWAL = ("withdrawn_at", "restored_at", "withdrawn_why")
"""The fields that a withdrawal or its undoing changes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All accepted rows of one series at one tick: a frame with the series' columns, sorted by `cmc_id`."""

    series: Series
    marker: Marker
    rows: pl.DataFrame

    @property
    def tick(self) -> datetime:
        """The instant the rows belong to."""
        return self.marker.tick


def marker_of(values: Mapping[str, Any]) -> Marker:
    """A marker from plain values: times as epoch seconds, durations as seconds. None is the field's default.

    Old ones without `stored_at` were visible after their fetch.
    """
    marker = Marker(**{name: _READERS[name](value) for name, value in values.items() if value is not None})
    return marker.with_stored_at(marker.visible_since)


def visible_at(stored: Iterable[T], at: datetime | None) -> list[T]:
    """The markers or ticks that a reader could see at an instant, withdrawn or not; all without an instant."""
    return [each for each in stored if at is None or (each.visible_since and each.visible_since <= at)]


def _reached(at: datetime | None, known_at: datetime | None) -> bool:
    return at is not None and (known_at is None or at <= known_at)


def first_of_hours(stored: Iterable[T]) -> list[T]:
    """The first of each hour; of markers, of each series and hour. They come oldest first."""
    firsts: dict[tuple[str, datetime], T] = {}
    for each in stored:
        series = each.series if isinstance(each, Marker) else ""
        firsts.setdefault((series, slot(each.tick, HOUR)), each)
    return list(firsts.values())


def by_volume(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by volume, the largest first; equal volumes by id; rows without a volume last."""
    return rows[volume_order(rows)]


def volume_order(rows: pl.DataFrame) -> NDArray[np.int64]:
    """The places of the rows in that order."""
    # For the few hundred rows of a list, planning `DataFrame.sort` takes longer than the sort.
    return np.lexsort((rows[schema.ID].to_numpy(), -rows[VOLUME].to_numpy()))


def parts_of(rows: pl.DataFrame, counts: Iterable[int]) -> list[pl.DataFrame]:
    """The rows cut into parts of so many rows each."""
    return [rows.slice(start, end - start) for start, end in pairwise(accumulate(counts, initial=0))]


def content_hash(series: str, source: str, tick: datetime, rows: pl.DataFrame) -> str:
    """A hash of a snapshot's content as 32 hexadecimal digits: equal in both stores and in files.

    A column without a value does not count: a series may gain fields, and the hashes of old snapshots stay.
    """
    digest = hashlib.blake2b(orjson.dumps([series, source, int(tick.timestamp())]), digest_size=16)
    for name in sorted(rows.columns):
        if rows[name].null_count() < len(rows):
            digest.update(orjson.dumps([name, rows[name].to_list()]))
    return digest.hexdigest()


def pack_ids(ids: pl.Series) -> str:
    """A set of ids as text: the compressed differences between them, about one byte an asset."""
    differences = np.diff(np.unique(ids.to_numpy()), prepend=0).astype("<u4")
    # All low bytes first, then the next ones: long runs of zeros compress well.
    planes = differences.view(np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b64encode(zlib.compress(planes)).decode("ascii")


def unpack_ids(text: str) -> NDArray[np.int64]:
    """The ids that `pack_ids` packed, ascending. Raises StoreMalformed for any other text."""
    try:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype=np.uint8)
        differences = np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel()
    except (ValueError, zlib.error) as exc:
        raise StoreMalformed(f"the marker's ids can't be read: {exc}") from exc
    return np.cumsum(differences, dtype=np.int64)


def next_tick(marker: Marker) -> datetime:
    """The next expected tick after a marker's."""
    return slot(marker.tick, marker.interval) + marker.interval
