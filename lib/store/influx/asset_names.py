"""Every ticker and name an asset had, from both buckets."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import polars as pl

from lib.store.asset_names import merged_names
from lib.store.influx import answer, flux
from lib.store.influx.failures import StoreMissing
from lib.store.influx.flux import FOREVER

RECENT = timedelta(hours=3)
"""The hourly bucket is filled every ten minutes, and an hour's first tick may be late."""
Ask = Callable[[str, Callable[[str], pl.DataFrame]], Awaitable[pl.DataFrame]]


async def read(ask: Ask, bucket: str, since: datetime, now: datetime) -> pl.DataFrame:
    """The names since an instant: those of the last hours from the raw bucket, all others from the hourly one."""
    try:
        old = await ask(flux.asset_names(flux.hourly(bucket), since, FOREVER), answer.asset_names)
    except StoreMissing:  # before `topcoins init`
        return await ask(flux.asset_names(bucket, since, FOREVER), answer.asset_names)
    recent = await ask(flux.asset_names(bucket, max(since, now - RECENT), FOREVER), answer.asset_names)
    return merged_names([old, recent])
