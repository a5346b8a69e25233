"""The first rows of a pair, reading no more than they take."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lib.clock import isoformat
from lib.errors import StoreMalformed
from lib.schema import ID, PRICE, TIER_PLACES, VOLUME_RANK, Series, tiers_holding
from lib.snapshot import VOLUME, by_volume, unpack_ids
from lib.store import Resolution
from query_api.asof.filters import NO_FILTERS, REASON, Filtered, Filters
from query_api.asof.hourly_rows import RowSource
from query_api.asof.pair import Pair, join, numbered_rows

SHOWN = ("usd", "updated_at")
"""The fields of a price the list shows: each one more is so many more series to read in InfluxDB."""
LAST_TIER = len(TIER_PLACES)
ALL_TIERS = range(LAST_TIER + 1)

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FirstRows:
    """A list's rows, how many assets are in both snapshots, and what filters left out, where there are any."""

    rows: pl.DataFrame
    matched: int
    filtered: Filtered | None = None


class RowReader:
    """Reads from one store. The markers tell which ids each side has, so most rows need not be read."""

    def __init__(self, store: RowSource) -> None:
        self._store = store

    async def first(self, pair: Pair, limit: int, resolution: Resolution, filters: Filters = NO_FILTERS) -> FirstRows:
        """The first `limit` assets on both sides that the filters let through, renumbered from 1."""
        read = _Read(self._store, pair, resolution, (*SHOWN, *filters.fields))
        if filters == NO_FILTERS:
            return FirstRows(await self._plain(read, limit), len(read.matching))
        return await self._filtered(read, limit, filters)

    async def _plain(self, read: "_Read", limit: int) -> pl.DataFrame:
        wanted = min(limit, len(read.matching))
        await read.tiers(tiers_holding(wanted))
        while len(read.rank) < wanted and read.more:
            await read.tiers(read.stop)
        first = read.rank.head(wanted)
        await read.prices_of(first)
        rows = numbered_rows(join(read.price, first))
        read.check(len(rows), wanted)
        return rows

    async def _filtered(self, read: "_Read", limit: int, filters: Filters) -> FirstRows:
        """As many tiers as it takes to find enough; of named assets only their own rows."""
        if filters.named:
            prices = await read.names() if filters.symbols else PRICE.empty()
            await read.only({*filters.ids, *filters.named_in(prices)})
        else:
            await read.tiers(tiers_holding(min(limit, len(read.matching))))
        judged = await self._judged(read, filters)
        while judged[REASON].null_count() < limit and read.more:
            await read.tiers(read.stop)
            judged = await self._judged(read, filters)
        kept = judged.filter(pl.col(REASON).is_null()).head(limit)
        above = judged if len(kept) < limit else judged.head(judged[ID].index_of(kept[ID][-1]) or 0)
        missing = filters.missing(judged[ID].to_list(), judged["symbol"].to_list())
        return FirstRows(numbered_rows(kept), len(read.matching), Filtered(filters.counts(above), missing))

    @staticmethod
    async def _judged(read: "_Read", filters: Filters) -> pl.DataFrame:
        """Everything read so far, by the source's rank."""
        await read.prices_of(read.rank)
        both = join(read.price, read.rank.sort("rank", ID))
        read.check(len(both), len(read.rank))
        return filters.judged(both)


class _Read:
    """What has been read of a pair: rank rows of assets on both sides, tiers in the order of places, and price rows."""

    def __init__(self, store: RowSource, pair: Pair, resolution: Resolution, fields: tuple[str, ...]) -> None:
        self._store = store
        self._pair = pair
        self._resolution: Resolution = resolution
        self._fields = fields
        self._ranked: Ids = unpack_ids(pair.rank.ids)
        self.matching: Ids = np.intersect1d(unpack_ids(pair.price.ids), self._ranked, assume_unique=True)
        self._known = 0
        self._due = 0
        self.stop = 0
        self.rank = _nothing(VOLUME_RANK)
        self.price = _nothing(PRICE.only(fields))

    @property
    def more(self) -> bool:
        """Whether there are tiers that were not read."""
        return self.stop <= LAST_TIER

    @property
    def _priced(self) -> Ids:
        return np.sort(self.price[ID].to_numpy())

    async def tiers(self, last: int) -> None:
        """Read on to this tier, ranks and prices at the same time."""
        tiers = range(self.stop, last + 1)
        volume, price = await asyncio.gather(
            self._store.rows(
                VOLUME_RANK, self._pair.rank.tick, tiers=tiers, fields=(VOLUME,), resolution=self._resolution
            ),
            self._store.rows(
                PRICE, self._pair.price.tick, tiers=tiers, fields=self._fields, resolution=self._resolution
            ),
        )
        self.stop = last + 1
        # Whole tiers from the top: the place by volume is the rank, and need not be read.
        rank = by_volume(_some(volume, _among(volume, self._ranked)))
        rank.insert_column(rank.columns.index(VOLUME), pl.Series("rank", np.arange(len(rank)) + self._known + 1.0))
        # A missing row would let the ones below it move up unseen.
        self._known += len(rank)
        self._due = min([len(self._ranked), *TIER_PLACES[self.stop - 1 : self.stop]])
        self._take(rank, price)

    async def names(self) -> pl.DataFrame:
        """The price side's ids and symbols, all of them: a ticker may be shared by assets of any tier."""
        return await self._store.rows(PRICE, self._pair.price.tick, fields=("usd",), resolution=self._resolution)

    async def only(self, ids: Collection[int]) -> None:
        """Read these assets and no others."""
        wanted = np.intersect1d(self.matching, list(ids)).astype(np.int64)
        rank = await self._store.rows(
            VOLUME_RANK, self._pair.rank.tick, ids=wanted.tolist(), resolution=self._resolution
        )
        self.stop = LAST_TIER + 1
        self._known, self._due = len(rank), len(wanted)
        self._take(rank, self.price)

    async def prices_of(self, rank: pl.DataFrame) -> None:
        """Read the prices of these ranks that stand in a lower tier in the price source."""
        missing = rank[ID].to_numpy()[~_among(rank, self._priced)].tolist()
        if missing:
            rest = await self._store.rows(
                PRICE,
                self._pair.price.tick,
                ids=missing,
                fields=self._fields,
                resolution=self._resolution,
            )
            self.price = pl.concat([self.price, rest])

    def check(self, rows: int, wanted: int) -> None:
        """StoreMalformed when rows are missing that the markers name."""
        if self._known < self._due or rows != wanted:
            ticks: tuple[datetime, datetime] = (self._pair.price.tick, self._pair.rank.tick)
            raise StoreMalformed(
                f"the snapshots of {isoformat(ticks[0])} and {isoformat(ticks[1])} hold {self._known} of {self._due}"
                f" ranks and {rows} of the {wanted} rows their markers name"
            )

    def _take(self, rank: pl.DataFrame, price: pl.DataFrame) -> None:
        self.rank = _with(self.rank, _some(rank, _among(rank, self.matching)))
        # Some came by id before.
        self.price = _with(self.price, _some(price, ~_among(price, self._priced)))


def _among(rows: pl.DataFrame, ids: Ids) -> Mask:
    """Which rows' ids are among these ascending ones."""
    asked = rows[ID].to_numpy()
    places = np.searchsorted(ids, asked)
    there = places < len(ids)
    there[there] = ids[places[there]] == asked[there]
    return there


@cache  # to make the columns of no rows takes as long as to fill them
def _nothing(series: Series) -> pl.DataFrame:
    return series.empty()


def _some(rows: pl.DataFrame, which: Mask) -> pl.DataFrame:
    return rows if which.all() else rows.filter(which)


def _with(rows: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    return more if rows.is_empty() else pl.concat([rows, more])
