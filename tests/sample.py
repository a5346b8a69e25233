"""Made-up snapshots."""

from datetime import datetime
from functools import lru_cache

import numpy as np
import polars as pl

from lib.clock import MINUTE
from lib.schema import ID, Series
from lib.snapshot import Marker, Snapshot, content_hash, pack_ids


@lru_cache(256)
def sample_snapshot(
    series: Series, tick: datetime, assets: int, *, source: str = "sample", credits: float = 0.0
) -> Snapshot:
    """A snapshot of made-up values as long as real ones."""
    values = np.random.default_rng(int(tick.timestamp())).lognormal(size=assets)
    ids = pl.Series(ID, range(1, assets + 1), pl.Int64)
    columns = {
        ID: ids,
        **{tag: [f"{tag} {n}" for n in range(assets)] for tag in series.tags},
        "tier": [0] * assets,
        **dict.fromkeys(series.fields, values),
    }
    rows = pl.DataFrame(columns, schema=series.columns)
    marker = Marker(
        series=series.name,
        source=source,
        tick=tick,
        assets=assets,
        rejected=0,
        duplicates=0,
        duration=MINUTE,
        observed_at=tick,
        credits=credits,
        interval=MINUTE,
        unchanged=False,
        backfilled=False,
        ids=pack_ids(ids),
        hash=content_hash(series.name, source, tick, rows),
    )
    return Snapshot(series, marker, rows)
