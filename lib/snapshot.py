"""What the gate lets through and what the stores keep: snapshots and their markers."""

import base64
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from lib import schema
from lib.clock import slot
from lib.errors import StoreMalformed
from lib.schema import Series

VOLUME = "volume_usd"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Marker:
    """The point that says a snapshot is complete. Written last; readers trust nothing without it.

    `ids` names the snapshot's members in a few bytes, so that two snapshots can be matched, and a row that
    does not belong told, without reading either. `hash` is `content_hash`'s, empty in the markers of before there was
    one. `stored_at` is the store's to say; None until it has the snapshot.
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

    @property
    def known_since(self) -> datetime:
        """When an answer could first stand on it. Markers of before `stored_at` were stored once fetched."""
        return self.stored_at or self.observed_at + self.duration

    def stamped(self, now: datetime) -> "Marker":
        """As the store keeps it: known since `now`, unless it says since when."""
        return self if self.stored_at else replace(self, stored_at=now)


class StoredTick(NamedTuple):
    """What a marker says of its tick alone: cheap to read by the ten thousand."""

    tick: datetime
    interval: timedelta
    backfilled: bool


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


def known(markers: Iterable[Marker], at: datetime | None) -> list[Marker]:
    """Those an answer could stand on at an instant; all without one."""
    return [marker for marker in markers if at is None or marker.known_since <= at]


def first_ticks_of_hours(ticks: Iterable[StoredTick]) -> list[StoredTick]:
    """The first tick of each hour, of one series' ticks, oldest first."""
    firsts: dict[datetime, StoredTick] = {}
    for tick in ticks:
        firsts.setdefault(slot(tick.tick, HOUR), tick)
    return list(firsts.values())


def first_of_hours(markers: Iterable[Marker]) -> list[Marker]:
    """Of markers, oldest first, the first of each series and hour."""
    firsts: dict[tuple[str, datetime], Marker] = {}
    for marker in markers:
        firsts.setdefault((marker.series, slot(marker.tick, HOUR)), marker)
    return list(firsts.values())


def by_volume(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order of their places: the largest volume first, of equal ones the lowest id, last those without."""
    return rows.sort([VOLUME, schema.ID], descending=[True, False], nulls_last=True, maintain_order=True)


def content_hash(series: str, source: str, tick: datetime, rows: pl.DataFrame) -> str:
    """What a snapshot says, in 32 hexadecimal digits: the same in either store, or in a file.

    A column without a value is left out, so that a series may gain fields and what was hashed stays what it is.
    """
    said = hashlib.blake2b(orjson.dumps([series, source, int(tick.timestamp())]), digest_size=16)
    for name in sorted(rows.columns):
        if rows[name].null_count() < len(rows):
            said.update(orjson.dumps([name, rows[name].to_list()]))
    return said.hexdigest()


def pack_ids(ids: pl.Series) -> str:
    """A set of ids as text: the compressed distances between them, about a byte for each asset of a listing."""
    distances = np.diff(np.unique(ids.to_numpy()), prepend=0).astype("<u4")
    # All low bytes first, then the next ones: the long runs of zeros compress to nothing.
    planes = distances.view(np.uint8).reshape(-1, 4).T.tobytes()
    return base64.b64encode(zlib.compress(planes)).decode("ascii")


def unpack_ids(text: str) -> NDArray[np.int64]:
    """The ids `pack_ids` packed, ascending; StoreMalformed for any other text."""
    try:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype=np.uint8)
        distances = np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel()
    except (ValueError, zlib.error) as exc:
        raise StoreMalformed(f"a marker's ids can't be read: {exc}") from exc
    return np.cumsum(distances, dtype=np.int64)


def next_tick(marker: Marker) -> datetime:
    """The slot after a marker's."""
    return slot(marker.tick, marker.interval) + marker.interval
