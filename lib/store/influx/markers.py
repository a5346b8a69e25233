"""Reads the markers of InfluxDB's answers, and ticks: what a query gives of a marker that reads few of its fields."""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache

import polars as pl

from lib.clock import from_epoch
from lib.snapshot import Marker, StoredTick
from lib.store.influx.answer import parse_time, parse_times, table, values_of

LONGEST_INTERVAL = timedelta(days=366)

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
    """The ticks, oldest first, and whether any was backfilled: which ones, only `flux.backfilled` answers."""
    if not csv.strip():
        return [], False
    points = _first_stored(table(csv)).unique(["_time", "_field"], keep="first")
    ticks = points.filter(pl.col("_field") == "interval_s").sort("_time")
    texts = ticks["_time"].to_list()
    rest = points.filter(pl.col("_field") != "interval_s")
    values = rest.select("_time", "_field", "_value").iter_rows()
    flags = {(time, field): float(value) for time, field, value in values if float(value)}
    withdrawn = {time for time, field in flags if field == "withdrawn_at" and (time, "restored_at") not in flags}
    lines = zip(parse_times(ticks["_time"]), ticks["_value"].to_list(), texts, strict=True)
    stored = [StoredTick(at, _interval(text), False, time in withdrawn) for at, text, time in lines]
    if "source" in ticks.columns:
        known = zip(texts, ticks["source"].to_list(), stored, strict=True)
        stored = [StoredTick(*tick[:4], source, *_known(flags, at)) for at, source, tick in known]
    return stored, any(field == "backfilled" for _, field in flags)


def _first_stored(points: pl.DataFrame) -> pl.DataFrame:
    """The lines of markers; where a tick has markers of several sources, those of the one stored first come first."""
    if "source" not in points.columns or points["source"].drop_nulls().n_unique() < 2:
        return points
    stored_at = pl.col("_value").filter(pl.col("_field") == "stored_at").cast(pl.Float64).min()
    return points.sort(stored_at.over("_time", "source"), nulls_last=True, maintain_order=True)


def _known(flags: Mapping[tuple[str, str], float], at: str) -> Iterator[datetime | None]:
    """Since when a tick is visible, if that was read, and the times of its withdrawal."""
    seconds = flags.get((at, "stored_at")) or flags.get((at, "observed_at"))
    for each in (seconds, flags.get((at, "withdrawn_at")), flags.get((at, "restored_at"))) if seconds else ():
        yield from_epoch(each) if each else None


def read_ticks(csv: str, known_at: datetime | None) -> dict[datetime, bool]:
    """The ticks of the markers visible at `known_at`, oldest first, and whether each answers: it is not withdrawn."""
    known = known_at.timestamp() if known_at else math.inf
    points: dict[datetime, dict[str, float]] = {}
    for time, field, value in values_of(csv, "_time", "_field", "_value"):
        points.setdefault(parse_time(time), {})[field] = float(value)
    visible = {tick: point for tick, point in sorted(points.items()) if _visible_since(point) <= known}
    return {
        tick: not _reached(point, "withdrawn_at", known) or _reached(point, "restored_at", known)
        for tick, point in visible.items()
    }


def _visible_since(point: dict[str, float]) -> float:
    return point.get("stored_at", point["observed_at"]) if "observed_at" in point else math.nan


def _reached(point: dict[str, float], field: str, known: float) -> bool:
    """Whether a time is not after `known`; 0 stands for none."""
    return 0 < point.get(field, 0) <= known


def _complete(csv: str) -> Iterator[Marker]:
    points: dict[tuple[str, ...], dict[str, str]] = {}
    for *point, field, value in values_of(csv, "_time", "series", "source", "_field", "_value", other_tables=True):
        points.setdefault(tuple(point), {})[field] = value
    for (time, series, source), fields in points.items():
        if "ids" in fields and all(name in fields for name in _NUMBERS):
            yield _marker(parse_time(time), series, source, fields)


@lru_cache(maxsize=64)  # ten thousand ticks share few intervals
def _interval(text: str) -> timedelta:
    interval = timedelta(seconds=float(text))
    if not timedelta() < interval <= LONGEST_INTERVAL:
        raise ValueError(f"interval_s={text} is no time between two ticks, such as 60")
    return interval


def _marker(tick: datetime, series: str, source: str, fields: dict[str, str]) -> Marker:
    number = {name: float(fields[name]) for name in _NUMBERS}
    marker = Marker(
        series=series,
        source=source,
        tick=tick,
        assets=int(number["assets"]),
        rejected=int(number["rejected"]),
        duplicates=int(number["duplicates"]),
        duration=timedelta(seconds=number["duration_s"]),
        observed_at=from_epoch(number["observed_at"]),
        credits=number["credits"],
        interval=_interval(fields["interval_s"]),
        unchanged=bool(number["unchanged"]),
        backfilled=bool(number["backfilled"]),
        ids=fields["ids"],
        hash=fields.get("hash", ""),
        stored_at=_optional_time(fields, "stored_at"),
        withdrawn_at=_optional_time(fields, "withdrawn_at"),
        restored_at=_optional_time(fields, "restored_at"),
        withdrawn_why=fields.get("withdrawn_why"),
        new_level=bool(float(fields.get("new_level") or 0)),
    )
    return marker.with_stored_at(marker.visible_since)


def _optional_time(fields: dict[str, str], name: str) -> datetime | None:
    """An optional time; 0 is none."""
    seconds = float(fields.get(name) or 0)
    return from_epoch(seconds) if seconds else None
