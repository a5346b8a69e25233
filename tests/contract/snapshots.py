"""Snapshots to keep: made from what a test cares about, the rest filled in."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from lib.schema import ID, TIER, Series
from lib.snapshot import Marker, Snapshot, content_hash, pack_ids
from tests.fakes import NOON

MINUTE = timedelta(minutes=1)
CAP = Series("market_cap", tags=("note",), fields=("cap_usd", "supply"))
"""A series that a user has configured."""


def snapshot(
    series: Series, tick: datetime = NOON, rows: Iterable[Mapping[str, object]] = (), *, written: int = 1, **marked: Any
) -> Snapshot:
    """A snapshot of rows that name some of the columns; `written` distinguishes writes of one tick."""
    filled = [{ID: number, TIER: 0, **dict.fromkeys(series.fields, 1.0), **row} for number, row in enumerate(rows, 1)]
    frame = pl.DataFrame(filled, schema=series.columns, orient="row").sort(ID)
    values: dict[str, Any] = {
        "source": "simulated",
        "rejected": 3,
        "duplicates": 2,
        "duration": timedelta(seconds=0.5),
        "observed_at": tick + timedelta(seconds=written),
        "credits": 25.5,
        "interval": MINUTE,
        "unchanged": False,
        "backfilled": False,
        "stored_at": tick + timedelta(seconds=written, microseconds=250_001),
    } | marked
    values["hash"] = content_hash(series.name, values["source"], tick, frame)
    return Snapshot(series, Marker(series.name, tick=tick, assets=len(frame), ids=pack_ids(frame[ID]), **values), frame)


def many(series: Series, count: int, tick: datetime = NOON, **marked: Any) -> Snapshot:
    """A snapshot of so many assets, ids spread out, tiers by place."""
    rows = [
        {ID: 7 * number, TIER: number % 6, **dict.fromkeys(series.fields, number / 7)}
        | {tag: f"{tag} {number}" for tag in series.tags}
        for number in range(1, count + 1)
    ]
    return snapshot(series, tick, rows, **marked)
