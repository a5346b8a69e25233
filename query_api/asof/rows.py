"""The first rows of a pair of snapshots. Reads only the tiers and ids that the answer needs."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lib.clock import isoformat
from lib.columns import Column, fields_of
from lib.errors import StoreMalformed
from lib.schema import ID, PRICE, TIER_PLACES, VOLUME_RANK, Series, tiers_holding
from lib.snapshot import VOLUME, unpack_ids, volume_order
from lib.store import Resolution
from query_api.asof.filters import NO_FILTERS, REASON, Filtered, Filters
from query_api.asof.hourly_rows import RowSource
from query_api.asof.pair import Pair, join, numbered_rows

PRICE_FIELDS = fields_of(PRICE)
RANK_FIELDS = tuple({**dict.fromkeys(fields_of(VOLUME_RANK)), VOLUME: None})
PLACE = "rank"
"""The rank side's own field for an asset's place."""
LAST_TIER = len(TIER_PLACES)
ALL_TIERS = range(LAST_TIER + 1)

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FirstRows:
    """A list's rows, how many assets are in both snapshots, and, with filters, what they left out."""

    rows: pl.DataFrame
    matched: int
    filtered: Filtered | None = None


class RowReader:
    """Reads lists from one store. The markers hold the ids of each side, so most rows need not be read."""

    def __init__(self, store: RowSource) -> None:
        self._store = store

    async def first(
        self,
        pair: Pair,
        limit: int,
        resolution: Resolution,
        filters: Filters = NO_FILTERS,
        more: Sequence[Column] = (),
    ) -> FirstRows:
        """The first `limit` assets on both sides that pass the filters, renumbered from 1, with `more` columns."""
        fields = dict.fromkeys((*PRICE_FIELDS, *filters.fields, *(column.field for column in more)))
        read = _PairRows(self._store, pair, resolution, tuple(fields))
        if filters == NO_FILTERS:
            return FirstRows(await self._plain(read, limit, more), len(read.matching))
        return await self._filtered(read, limit, filters, more)

    async def _plain(self, read: "_PairRows", limit: int, more: Sequence[Column]) -> pl.DataFrame:
        wanted = min(limit, len(read.matching))
        await read.tiers(tiers_holding(wanted))
        while len(read.rank) < wanted and read.more:
            await read.tiers(read.stop)
        top = read.rank.head(wanted)
        await read.prices_of(top)
        rows = numbered_rows(join(read.price, top), more)
        read.check(len(rows), wanted)
        return rows

    async def _filtered(self, read: "_PairRows", limit: int, filters: Filters, more: Sequence[Column]) -> FirstRows:
        """Reads tiers until enough assets pass; of assets asked for by name, only their rows."""
        if filters.named:
            prices = await read.names() if filters.symbols else PRICE.empty()
            await read.only({*filters.ids, *filters.named_in(prices)})
        else:
            await read.tiers(tiers_holding(min(limit, len(read.matching))))
        rows = await self._with_reasons(read, filters)
        while rows[REASON].null_count() < limit and read.more:
            await read.tiers(read.stop)
            rows = await self._with_reasons(read, filters)
        passed = rows.filter(pl.col(REASON).is_null()).head(limit)
        above = rows if len(passed) < limit else rows.head(rows[ID].index_of(passed[ID][-1]) or 0)
        missing = filters.missing(rows[ID].to_list(), rows["symbol"].to_list())
        return FirstRows(numbered_rows(passed, more), len(read.matching), Filtered(filters.counts(above), missing))

    @staticmethod
    async def _with_reasons(read: "_PairRows", filters: Filters) -> pl.DataFrame:
        """All rows read so far, by the source's rank, each with the reason it is left out."""
        await read.prices_of(read.rank)
        both = join(read.price, read.rank.sort("rank", ID))
        read.check(len(both), len(read.rank))
        return filters.with_reasons(both)


class _PairRows:
    """The rows read of a pair so far: rank rows of assets on both sides, by place, and price rows."""

    def __init__(self, store: RowSource, pair: Pair, resolution: Resolution, fields: tuple[str, ...]) -> None:
        self._read_prices = partial(store.rows, PRICE, pair.price.tick, resolution=resolution)
        self._read_ranks = partial(store.rows, VOLUME_RANK, pair.rank.tick, resolution=resolution)
        self._pair = pair
        self._fields = fields
        self._ranked, self.matching = _ranked_and_matching(pair.price.ids, pair.rank.ids)
        self._ranks_read = 0
        self._ranks_due = 0
        self.stop = 0
        self.rank = _no_rows(VOLUME_RANK)
        self.price = _no_rows(PRICE.only(fields))

    @property
    def more(self) -> bool:
        """Whether some tiers are not read yet."""
        return self.stop <= LAST_TIER

    @property
    def _priced(self) -> Ids:
        return np.sort(_ids(self.price))

    async def tiers(self, last: int) -> None:
        """Read on to this tier, ranks and prices at the same time."""
        tiers = range(self.stop, last + 1)
        rank, price = await asyncio.gather(
            self._read_ranks(tiers=tiers, fields=self._rank_fields),
            self._read_prices(tiers=tiers, fields=self._fields),
        )
        self.stop = last + 1
        rank = self._placed(rank)
        self._ranks_due = min([len(self._ranked), *TIER_PLACES[self.stop - 1 : self.stop]])
        self._add(rank, price)

    @property
    def _rank_fields(self) -> tuple[str, ...]:
        """An imported list has holes, so its places are read; any other list's are counted."""
        return tuple(name for name in RANK_FIELDS if name != PLACE or self._pair.rank.backfilled)

    def _placed(self, rank: pl.DataFrame) -> pl.DataFrame:
        """Rows of assets on both sides by volume, with their places: in whole tiers from the top, the n-th has place n.

        One gather of the rows does what a filter, a sort and a second filter would do.
        """
        order = volume_order(rank)
        ids = _ids(rank)[order]
        counted = _among(ids, self._ranked)
        order, ids = order[counted], ids[counted]
        places = np.arange(len(order)) + self._ranks_read + 1.0
        # A missing row would let the rows below it move up unnoticed.
        self._ranks_read += len(order)
        both = _among(ids, self.matching)
        rank = rank[order[both]]
        if PLACE not in rank.columns:
            rank.insert_column(rank.columns.index(VOLUME), pl.Series(PLACE, places[both]))
        return rank

    async def names(self) -> pl.DataFrame:
        """All ids and symbols of the price side: assets of any tier may share a ticker."""
        return await self._read_prices(fields=("usd",))

    async def only(self, ids: Collection[int]) -> None:
        """Read these assets and no others."""
        wanted = np.intersect1d(self.matching, list(ids)).astype(np.int64)
        self.rank = await self._read_ranks(ids=wanted.tolist())
        self.stop = LAST_TIER + 1
        self._ranks_read, self._ranks_due = len(self.rank), len(wanted)

    async def prices_of(self, rank: pl.DataFrame) -> None:
        """Read the prices that are still missing: those in a lower tier of the price source."""
        missing = _ids(rank)[~_among(_ids(rank), self._priced)]
        if len(missing):
            self.price = pl.concat([self.price, await self._read_prices(ids=missing.tolist(), fields=self._fields)])

    def check(self, rows: int, wanted: int) -> None:
        """Raise StoreMalformed if a row is missing that the markers name."""
        if self._ranks_read < self._ranks_due or rows != wanted:
            price, rank = isoformat(self._pair.price.tick), isoformat(self._pair.rank.tick)
            raise StoreMalformed(
                f"the snapshots of {price} and {rank} hold {self._ranks_read} of {self._ranks_due} ranks and {rows} of"
                f" the {wanted} rows their markers name"
            )

    def _add(self, rank: pl.DataFrame, price: pl.DataFrame) -> None:
        self.rank = _with(self.rank, rank)
        # Some prices were read by id before.
        new = ~_among(_ids(price), self._priced)
        self.price = _with(self.price, price if new.all() else price[np.flatnonzero(new)])


@lru_cache(maxsize=64)  # neighbouring snapshots mostly hold the same assets
def _ranked_and_matching(price_ids: str, rank_ids: str) -> tuple[Ids, Ids]:
    ranked = unpack_ids(rank_ids)
    return ranked, np.intersect1d(unpack_ids(price_ids), ranked, assume_unique=True)


def _ids(rows: pl.DataFrame) -> Ids:
    return rows[ID].to_numpy()


def _among(own: Ids, ids: Ids) -> Mask:
    """A mask of those that are among these ascending ids."""
    places = np.searchsorted(ids, own)
    mask = places < len(ids)
    mask[mask] = ids[places[mask]] == own[mask]
    return mask


@cache  # making an empty frame takes as long as filling it
def _no_rows(series: Series) -> pl.DataFrame:
    return series.empty()


def _with(rows: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    return more if rows.is_empty() else pl.concat([rows, more])
