"""The gate between source and store: rows in, a snapshot of the sound rows and counted rejects out."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from lib import schema
from lib.errors import SnapshotRefused
from lib.schema import ID, PRICE, TIER, VOLUME_RANK, Series
from lib.snapshot import VOLUME, Marker, Snapshot, by_volume, content_hash, pack_ids
from lib.source.reading import Reading

_REASON = "_reason"


def admit(
    reading: Reading,
    tick: datetime,
    interval: timedelta,
    *,
    before: Snapshot | None = None,
    backfilled: bool = False,
    unconfirmed: Mapping[int, str] | None = None,
) -> tuple[Snapshot, Mapping[str, int]]:
    """The snapshot of a reading and its rejects by reason; SnapshotRefused when no row is sound.

    A row is rejected when its id, price or volume is not one. Of rows with the same id the one with the highest
    volume stays. `interval` is the distance to the next expected tick, for the marker. `before` is the snapshot before;
    `unconfirmed` are ids to reject, with the reason.
    """
    rejected = Counter(reading.rejected)
    rows = reading.rows
    if VOLUME not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.Float64).alias(VOLUME))
    judged = rows.with_columns(_reason(reading.series).alias(_REASON))
    rejected.update(judged[_REASON].drop_nulls().to_list())
    sound = judged.filter(judged[_REASON].is_null())
    if unconfirmed:
        rejected.update(unconfirmed[id_] for id_ in sound[ID] if id_ in unconfirmed)
        sound = sound.filter(~pl.col(ID).is_in(list(unconfirmed)))
    placed = by_volume(sound).unique(ID, keep="first", maintain_order=True)
    if not len(placed):
        raise SnapshotRefused(_none_sound(reading, rejected))
    rows = _finished(placed, reading.series)
    marker = Marker(
        series=reading.series.name,
        source=reading.source,
        tick=tick,
        assets=len(rows),
        rejected=rejected.total(),
        duplicates=len(sound) - len(placed),
        duration=reading.duration,
        observed_at=reading.observed_at,
        credits=reading.credits,
        interval=interval,
        unchanged=before is not None and before.rows.equals(rows),
        backfilled=backfilled,
        ids=pack_ids(rows[ID]),
        hash=content_hash(reading.series.name, reading.source, tick, rows),
    )
    return Snapshot(reading.series, marker, rows), dict(rejected)


def _none_sound(reading: Reading, rejected: Counter[str]) -> str:
    reasons = ", ".join(f"{count} x {reason}" for reason, count in rejected.most_common(3))
    message = f"{reading.source}: 0 of {reading.records} {reading.series.name} rows are sound"
    return f"{message} ({reasons}): nothing is left" if reasons else f"{message}: nothing is left"


@cache
def _reason(series: Series) -> pl.Expr:
    """The first reason to reject a row, null for a sound one."""
    id_, volume = pl.col(ID), pl.col(VOLUME)
    reasons = [
        (id_.is_null(), f"{ID} is missing or not a whole number"),
        (id_ <= 0, f"{ID} is not above 0"),
        (id_ > schema.LARGEST_ID, f"{ID} is above {schema.LARGEST_ID}"),
        (~volume.is_finite(), f"{VOLUME} is not a finite number"),
        (volume < 0, f"{VOLUME} is below 0"),
    ]
    if series == VOLUME_RANK:
        reasons.append((volume.is_null(), f"{VOLUME} is missing or not a number"))
    elif series == PRICE:
        usd = pl.col("usd")
        reasons += [
            (usd.is_null(), "usd is missing or not a number"),
            (~usd.is_finite(), "usd is not a finite number"),
            (usd <= 0, "usd is not above 0"),
        ]
    else:
        reasons += [(~pl.col(name).is_finite(), f"{name} is not a finite number") for name in series.fields]
        reasons.append((pl.all_horizontal(pl.col(series.fields).is_null()), "every value is missing"))
    reasons += [
        (pl.col(tag).str.len_chars() > schema.LONGEST_TEXT, f"{tag} is over {schema.LONGEST_TEXT} characters")
        for tag in series.tags
    ]
    return pl.coalesce(pl.when(wrong).then(pl.lit(reason)) for wrong, reason in reasons)


@cache
def _valid() -> Mapping[str, pl.Expr]:
    """When a price row's further values are valid. Others become null, and the row stays."""
    cap = pl.col("market_cap_usd")
    return {
        "updated_at": pl.col("updated_at").is_finite(),
        "market_cap_usd": cap.is_finite() & (cap > 0),  # CoinMarketCap gives 0 where it knows no number of coins
        "stablecoin": pl.col("stablecoin").is_in([0.0, 1.0]),
        "wrapped": pl.col("wrapped").is_in([0.0, 1.0]),
    }


def _finished(placed: pl.DataFrame, series: Series) -> pl.DataFrame:
    """The rows in the series' columns, sorted by id. The place by volume gives the tier, and the rank."""
    columns: dict[str, pl.Series | pl.Expr] = {TIER: schema.tiers_of(len(placed))}
    if series == VOLUME_RANK:
        columns["rank"] = pl.Series("rank", np.arange(1, len(placed) + 1), pl.Float64)
    if series == PRICE:
        columns |= {name: pl.when(sound).then(name) for name, sound in _valid().items() if name in placed.columns}
    for name, kind in series.columns.items():
        if name not in columns:
            columns[name] = pl.col(name) if name in placed.columns else pl.lit(None, kind).alias(name)
    return placed.select(columns[name] for name in series.columns).sort(ID)
