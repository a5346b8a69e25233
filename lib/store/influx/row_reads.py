"""Reads the rows of many ticks. InfluxDB takes longer to find a series than to read more points of it.

So one query reads all ticks from the first to the last, if they are near each other. Full hours far apart are read from
the hourly bucket, which holds the same rows, as far as it has them.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Unpack

import polars as pl

from lib.clock import HOUR, MINUTE, near_runs, slot
from lib.schema import TIER_PLACES, Series
from lib.store import Selection
from lib.store.influx import answer, flux
from lib.store.influx.failures import StoreMissing
from lib.store.influx.server import Server

ALL_TIERS = range(len(TIER_PLACES) + 1)
NEAR = 15 * MINUTE
"""Ticks so near are read in one query, with all between."""

Rows = dict[datetime, pl.DataFrame]


async def read(
    server: Server, bucket: str, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
) -> Rows:
    """See `Store.rows_between`."""
    wanted = sorted({*ticks})
    if selection.get("resolution") == "1h":
        return await _read_span(server, flux.hourly(bucket), series, wanted, **selection)
    copied = await _copied_hours(server, bucket, series, wanted)
    rows = await _read_span(server, flux.hourly(bucket), series, copied, **selection)
    rest = sorted({*wanted} - {*copied})
    for run in near_runs(rest, NEAR):
        rows |= await _read_span(server, bucket, series, run, **selection)
    return rows


async def _copied_hours(server: Server, bucket: str, series: Series, ticks: Sequence[datetime]) -> list[datetime]:
    """The full hours that the hourly bucket has, if most ticks are full hours: each is the first tick of its hour."""
    hours = [tick for tick in ticks if slot(tick, HOUR) == tick]
    if len(hours) < 2 or 2 * len(hours) < len(ticks):
        return []
    query = flux.ticks(flux.hourly(bucket), series.name, hours[0], hours[-1])
    try:
        copied = {*await server.query(query, answer.times)}
    except StoreMissing:  # before `topcoins init` there is no hourly bucket
        return []
    return [hour for hour in hours if hour in copied]


async def _read_span(
    server: Server, bucket: str, series: Series, ticks: Sequence[datetime], **selection: Unpack[Selection]
) -> Rows:
    """The rows of ascending ticks of a bucket, by one query."""
    tiers, ids, tickers = selection.get("tiers"), selection.get("ids"), selection.get("tickers")
    shown = series.only(selection.get("fields"))
    if tiers is not None and tiers.start <= ALL_TIERS.start and ALL_TIERS.stop <= tiers.stop:
        tiers = None  # a filter that excludes nothing costs time all the same
    numbers = None if ids is None else sorted({int(id_) for id_ in ids})
    query = ""
    if ticks and shown.fields and (numbers != [] or tickers) and (tiers is None or tiers):
        query = flux.rows(bucket, series, shown.fields, ticks[0], ticks[-1], tiers, numbers, tickers)
    return await server.query(query, lambda csv: answer.rows_by_tick(csv, shown, ticks))
