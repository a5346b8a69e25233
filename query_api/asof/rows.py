"""The first rows of pairs of snapshots. Reads only the tiers and ids that the answer needs, of all pairs at once."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from lib.columns import Column, fields_of
from lib.schema import ID, PRICE, Series, tiers_holding
from lib.snapshot import parts_of
from lib.store import Resolution, Store
from lib.times import TIME
from query_api.asof.filters import NO_FILTERS, REASON, Filtered, Filters
from query_api.asof.keys import Counts, places_within
from query_api.asof.pair import Pair, numbered_rows
from query_api.asof.pair_rows import PairRows
from query_api.long_work import LongWork

PRICE_FIELDS = fields_of(PRICE)


def resolution_of(tick: datetime, horizon: datetime) -> Resolution:
    """The resolution in which a store with this horizon is sure to have a tick."""
    return "1h" if tick < horizon else "1m"


async def read_history(
    store: Store, series: Series, cmc_id: int, ticks: Collection[datetime], horizon: datetime
) -> pl.DataFrame:
    """One asset's rows at these ticks, on either side of the horizon. See `Store.history`."""
    wanted = sorted(ticks)
    raw_from = bisect_left(wanted, horizon)
    parts: dict[Resolution, list[datetime]] = {"1h": wanted[:raw_from], "1m": wanted[raw_from:]}
    frames = [
        await store.history(series, cmc_id, some, resolution=resolution) for resolution, some in parts.items() if some
    ]
    return pl.concat(frames) if frames else series.empty().with_columns(pl.lit(None, TIME).alias("tick"))


@dataclass(frozen=True, slots=True)
class FirstRows:
    """A list's rows, how many assets are in both snapshots, and, with filters, what they left out."""

    rows: pl.DataFrame
    matched: int
    filtered: Filtered | None = None


async def read_first_rows(
    store: Store,
    pairs: Sequence[Pair],
    limit: int,
    resolution: Resolution,
    filters: Filters = NO_FILTERS,
    more: Sequence[Column] = (),
    long_work: LongWork | None = None,
) -> list[FirstRows]:
    """Of each pair the first `limit` assets on both sides that pass the filters, renumbered from 1.

    `more` are further columns. The markers hold the ids of each side, so most rows need not be read. `long_work` if the
    pairs are a part of it.
    """
    fields = dict.fromkeys((*PRICE_FIELDS, *filters.fields, *(column.field for column in more)))
    read = PairRows(store, pairs, resolution, tuple(fields), long_work)
    if filters == NO_FILTERS:
        return await _plain(read, limit, more)
    return await _filtered(read, limit, filters, more)


async def _plain(read: PairRows, limit: int, more: Sequence[Column]) -> list[FirstRows]:
    wanted = np.minimum(limit, read.matched)
    await read.tiers(tiers_holding(wanted.max()))
    while read.more and np.any(read.ranks < wanted):
        await read.tiers(read.stop)
    top = np.flatnonzero(places_within(read.owners) < wanted[read.owners])
    await read.prices_of(top)
    return await read.compute(lambda: _first_rows(read, top, wanted, more))


async def _filtered(read: PairRows, limit: int, filters: Filters, more: Sequence[Column]) -> list[FirstRows]:
    """Reads tiers until enough assets pass; of assets asked for by name, only their rows."""
    if filters.named:
        await read.only(filters)
    else:
        await read.tiers(tiers_holding(min(limit, read.matched.max())))
    rows = await _with_reasons(read, filters)
    while read.more and any(each[REASON].null_count() < limit for each in rows):
        await read.tiers(read.stop)
        rows = await _with_reasons(read, filters)
    parts = zip(rows, read.matched.tolist(), strict=True)
    return await read.compute(lambda: [_passed(own, matched, limit, filters, more) for own, matched in parts])


async def _with_reasons(read: PairRows, filters: Filters) -> list[pl.DataFrame]:
    """All rows read so far of each pair, by the source's rank, each with the reason it is left out."""
    await read.prices_of(np.arange(len(read.ids)))

    def joined() -> list[pl.DataFrame]:
        order = np.lexsort((read.ids, read.places, read.owners))
        both, counts = read.join(order)
        read.check(counts, read.ranks)
        return parts_of(filters.with_reasons(both), counts.tolist())

    return await read.compute(joined)


def _first_rows(read: PairRows, top: Counts, wanted: Counts, more: Sequence[Column]) -> list[FirstRows]:
    both, counts = read.join(top)
    read.check(counts, wanted)
    rows = numbered_rows(both, places_within(np.repeat(np.arange(len(counts)), counts)) + 1, more)
    return [FirstRows(*part) for part in zip(parts_of(rows, counts.tolist()), read.matched.tolist(), strict=True)]


def _passed(rows: pl.DataFrame, matched: int, limit: int, filters: Filters, more: Sequence[Column]) -> FirstRows:
    """The list of a pair from all its rows that were read."""
    passed = rows.filter(pl.col(REASON).is_null()).head(limit)
    above = rows if len(passed) < limit else rows.head(rows[ID].index_of(passed[ID][-1]) or 0)
    missing = filters.missing(rows[ID].to_list(), rows["symbol"].to_list())
    numbers = np.arange(1, len(passed) + 1)
    return FirstRows(numbered_rows(passed, numbers, more), matched, Filtered(filters.counts(above), missing))
