"""Reads the markers of InfluxDB's answers, and ticks: what a query gives of a marker that reads few of its fields."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from lib.clock import from_epoch
from lib.snapshot import MARKER_FIELDS, MARKER_KINDS, Marker, StoredTick, marker_of
from lib.store.influx.answer import parse_time, values_of

LONGEST_INTERVAL = timedelta(days=366)
Point = tuple[str, ...]
"""The columns that name it, its time first."""
Fields = dict[str, str]

_NUMBERS = (
    "assets",
    "rejected",
    "duplicates",
    "duration_s",
    "observed_at",
    "credits",
    "interval_s",
    "unchanged",
    "backfilled",
)


def read_markers(csv: str) -> list[Marker]:
    """The markers that have all their fields, oldest first; of two for one tick, the one stored first."""
    first: dict[tuple[datetime, str], Marker] = {}
    for marker in sorted(_complete(csv), key=lambda marker: (marker.tick, marker.series, marker.visible_since)):
        first.setdefault((marker.tick, marker.series), marker)
    return list(first.values())


def read_leftovers(csv: str) -> tuple[bool, list[Marker]]:
    """Whether there is any line, and the markers among the lines."""
    return bool(csv.strip()), read_markers(csv)


def read_stored_ticks(csv: str) -> tuple[list[StoredTick], bool]:
    """The ticks, oldest first, and whether any was backfilled: which ones, only `flux.backfilled` answers.

    Of two markers for a tick, the one stored first names the source and the rest.
    """
    if "source" in csv.partition("\r\n")[0].split(","):
        points = points_of(csv, "_time", "source")
        return _known_ticks(points), _some_late(points.values())
    # A dict for each tick, as `points_of` makes, would take twice the time and memory for those of a week.
    intervals: dict[str, str] = {}
    others: dict[str, Fields] = {}
    for time, field, value in values_of(csv, "_time", "_field", "_value"):
        if field == "interval_s":
            intervals.setdefault(time, value)
        else:
            others.setdefault(time, {}).setdefault(field, value)
    ticks = [_stored_tick(time, intervals[time], others.get(time)) for time in sorted(intervals)]
    return ticks, _some_late(others.values())


def _known_ticks(points: Mapping[Point, Fields]) -> list[StoredTick]:
    def time_and_stored_at(point: Point) -> tuple[str, float]:
        return point[0], float(points[point].get("stored_at", 0))

    ticks: dict[str, StoredTick] = {}
    for time, source in sorted(points, key=time_and_stored_at):
        fields = points[time, source]
        if "interval_s" in fields and time not in ticks:
            ticks[time] = _stored_tick(time, fields["interval_s"], fields, source)
    return list(ticks.values())


def _some_late(points: Iterable[Fields]) -> bool:
    return any(float(fields.get("backfilled", 0)) for fields in points)


def _stored_tick(time: str, interval: str, fields: Fields | None, source: str = "") -> StoredTick:
    tick = StoredTick(parse_time(time), _interval(interval), False)
    if not fields:  # almost always
        return tick
    withdrawn_at, restored_at = optional_time(fields, "withdrawn_at"), optional_time(fields, "restored_at")
    tick = tick._replace(withdrawn=withdrawn_at is not None and restored_at is None)
    if not source:
        return tick
    since = optional_time(fields, "stored_at") or optional_time(fields, "observed_at")
    return tick._replace(source=source, visible_since=since, withdrawn_at=withdrawn_at, restored_at=restored_at)


def _complete(csv: str) -> Iterator[Marker]:
    for (time, series, source), fields in points_of(csv, "_time", "series", "source", other_tables=True).items():
        if "ids" in fields and all(name in fields for name in _NUMBERS):
            yield _marker(parse_time(time), series, source, fields)


def points_of(csv: str, *keys: str, other_tables: bool = False) -> dict[Point, Fields]:
    """The fields of each point, by the columns that name it; of equal fields the first."""
    points: dict[Point, Fields] = {}
    for *point, field, value in values_of(csv, *keys, "_field", "_value", other_tables=other_tables):
        points.setdefault(tuple(point), {}).setdefault(field, value)
    return points


@lru_cache(maxsize=64)  # ten thousand ticks share few intervals
def _interval(text: str) -> timedelta:
    interval = timedelta(seconds=float(text))
    if not timedelta() < interval <= LONGEST_INTERVAL:
        raise ValueError(f"interval_s={text} is no time between two ticks, such as 60")
    return interval


def _marker(tick: datetime, series: str, source: str, fields: Fields) -> Marker:
    _interval(fields["interval_s"])  # refuses what is none
    texts = {name: fields[field] for name, field in MARKER_FIELDS.items() if field in fields}
    values = {name: text if MARKER_KINDS[name] is str else float(text) for name, text in texts.items()}
    given = {name: value for name, value in values.items() if value or not name.endswith("_at")}  # a time of 0 is none
    return marker_of(given | {"series": series, "source": source, "tick": tick.timestamp()})


def optional_time(fields: Fields, name: str) -> datetime | None:
    """An optional time; 0 is none."""
    seconds = float(fields.get(name) or 0)
    return from_epoch(seconds) if seconds else None
