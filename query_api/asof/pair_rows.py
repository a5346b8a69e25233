"""The rows of one or more pairs of snapshots, read together and joined by arrays.

An asset of a pair has a key: the pair's number and the id. So what is computed for one pair is computed for all.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import polars as pl

from lib.clock import isoformat
from lib.errors import StoreMalformed
from lib.schema import ID, LARGEST_ID, PRICE, TIER, TIER_PLACES, VOLUME_RANK, Series
from lib.snapshot import VOLUME, unpack_ids
from lib.store import Resolution, Store
from lib.text import search_key
from query_api.asof.filters import Filters
from query_api.asof.keys import BITS, IDS, Counts, Keys, Mask, among, ids_of, places_within
from query_api.asof.pair import Pair
from query_api.long_work import LongWork

T = TypeVar("T")

PLACE = "rank"
"""The rank side's own field for an asset's place."""
RANK_FIELDS = (PLACE, VOLUME)
LAST_TIER = len(TIER_PLACES)


class PairRows:
    """The rows read of some pairs so far: rank rows of assets on both sides, by pair and place, and price rows.

    A rank row is numbers alone, so it is a key, a place and a volume in three arrays.

    As a part of long work they are computed in its thread; else at once, for of one pair a thread takes longer.
    """

    def __init__(
        self,
        store: Store,
        pairs: Sequence[Pair],
        resolution: Resolution,
        fields: tuple[str, ...],
        long_work: LongWork | None,
    ) -> None:
        self._store = store
        self._long_work = long_work
        self._pairs = pairs
        self._resolution = resolution
        self._fields = fields
        known = [_ranked_and_matching(pair.price.ids, pair.rank.ids) for pair in pairs]
        self._ranked = [ranked for ranked, _ in known]
        self._matching = [matching for _, matching in known]
        self.matched = np.array([len(ids) for ids in self._matching])
        self._ranks_read = self._ranks_due = np.zeros(len(pairs), np.int64)
        self.stop = 0
        self._rank_keys = np.empty(0, np.int64)
        self.places = self._volumes = np.empty(0)
        self.price, self._price_keys = _no_rows(PRICE.only(fields)), np.empty(0, np.int64)

    @property
    def more(self) -> bool:
        """Whether some tiers are not read yet."""
        return self.stop <= LAST_TIER

    @property
    def owners(self) -> Counts:
        """The number of the pair of each rank row."""
        return self._rank_keys >> BITS

    @property
    def ids(self) -> Keys:
        """The id of each rank row."""
        return self._rank_keys & IDS

    @property
    def ranks(self) -> Counts:
        """How many rank rows each pair has."""
        return np.bincount(self.owners, minlength=len(self._pairs))

    async def compute(self, work: Callable[[], T]) -> T:
        """The result of work that takes CPU."""
        return await self._long_work.in_thread(work) if self._long_work else work()

    async def tiers(self, last: int) -> None:
        """Read on to this tier, ranks and prices at the same time."""
        tiers = range(self.stop, last + 1)
        rank, price = await asyncio.gather(
            self._read(VOLUME_RANK, tiers=tiers, fields=self._rank_fields),
            self._read(PRICE, tiers=tiers, fields=self._fields),
        )
        self.stop = last + 1
        self._ranks_due = np.minimum(
            [len(ids) for ids in self._ranked], min(TIER_PLACES[self.stop - 1 : self.stop], default=2**31)
        )
        await self.compute(partial(self._add, rank, price))

    async def only(self, filters: Filters) -> None:
        """Read the assets that the filters name and no others. A shared ticker names all assets that have it."""
        wanted = [np.array([id_ for id_ in filters.ids if id_ <= LARGEST_ID], np.int64)] * len(self._pairs)
        if filters.symbols:
            tickers = [search_key(symbol) for symbol in filters.symbols]
            named = await self._frames(PRICE, tickers=tickers, fields=("usd",))
            wanted = [np.append(ids, filters.named_in(each)) for ids, each in zip(wanted, named, strict=True)]
        both = [np.intersect1d(ids, own) for ids, own in zip(wanted, self._matching, strict=True)]
        keys = np.concatenate([ids + (number << BITS) for number, ids in enumerate(both)]).astype(np.int64)
        rank, own = await self._read(VOLUME_RANK, ids=ids_of(keys))
        chosen = np.flatnonzero(among(own, keys))
        self._rank_keys = own[chosen]
        self.places, self._volumes = (rank[name].to_numpy()[chosen] for name in RANK_FIELDS)
        self.stop = LAST_TIER + 1
        self._ranks_read, self._ranks_due = self.ranks, np.bincount(keys >> BITS, minlength=len(self._pairs))

    async def prices_of(self, rows: Counts) -> None:
        """Read the prices of these rank rows that are still missing: those in a lower tier of the price source."""
        keys = self._rank_keys[rows]
        missing = keys[~among(keys, self._price_keys)]
        if len(missing):
            some = np.unique(missing >> BITS).tolist()
            self._add_prices(*await self._read(PRICE, some, ids=ids_of(missing), fields=self._fields))

    def join(self, rows: Counts) -> tuple[pl.DataFrame, Counts]:
        """These rank rows with their prices, without those that have none; and how many each pair has."""
        keys = self._rank_keys[rows]
        found = among(keys, self._price_keys)
        keys = keys[found]
        rows = rows[found]
        price = _taken(self.price, np.searchsorted(self._price_keys, keys))
        rank = [
            pl.Series(ID, keys & IDS),
            pl.Series(PLACE, self.places[rows], nan_to_null=True),
            pl.Series(VOLUME, self._volumes[rows], nan_to_null=True),
        ]
        both = [*rank, *(column for column in price if column.name not in (ID, TIER))]
        return pl.DataFrame(both), np.bincount(keys >> BITS, minlength=len(self._pairs))

    def check(self, rows: Counts, wanted: Counts) -> None:
        """Raise StoreMalformed if a row is missing that the markers name."""
        for number in np.flatnonzero((self._ranks_read < self._ranks_due) | (rows != wanted)).tolist():
            price, rank = isoformat(self._pairs[number].price.tick), isoformat(self._pairs[number].rank.tick)
            raise StoreMalformed(
                f"the snapshots of {price} and {rank} hold {self._ranks_read[number]} of {self._ranks_due[number]}"
                f" ranks and {rows[number]} of the {wanted[number]} rows their markers name"
            )

    async def _read(
        self, series: Series, some: Sequence[int] | None = None, **selection: Any
    ) -> tuple[pl.DataFrame, Keys]:
        """The selected rows of a side of some pairs, by default of all, with their keys."""
        frames = await self._frames(series, some, **selection)
        owners = np.repeat(np.arange(len(self._pairs)) if some is None else some, [len(frame) for frame in frames])
        rows = pl.concat(frames) if len(frames) > 1 else frames[0]
        return rows, (owners << BITS) + rows[ID].to_numpy()

    async def _frames(
        self, series: Series, some: Sequence[int] | None = None, **selection: Any
    ) -> Sequence[pl.DataFrame]:
        pairs = self._pairs if some is None else [self._pairs[number] for number in some]
        ticks = [pair.price.tick if series == PRICE else pair.rank.tick for pair in pairs]
        rows = await self._store.rows_between(series, {*ticks}, resolution=self._resolution, **selection)
        return [rows[tick] for tick in ticks]

    @property
    def _rank_fields(self) -> tuple[str, ...]:
        """An imported list has holes, so its places are read; any other list's are counted."""
        imported = any(pair.rank.backfilled for pair in self._pairs)
        return tuple(name for name in RANK_FIELDS if name != PLACE or imported)

    def _add(self, rank: tuple[pl.DataFrame, Keys], price: tuple[pl.DataFrame, Keys]) -> None:
        self._add_ranks(*rank)
        self._add_prices(*price)

    def _add_ranks(self, rank: pl.DataFrame, keys: Keys) -> None:
        """Add rows of assets on both sides by volume, with their places: in whole tiers the n-th has place n."""
        volumes = rank[VOLUME].to_numpy()
        # For the few hundred rows of a list, planning `DataFrame.sort` takes longer than the sort.
        order = np.lexsort((keys, -volumes, keys >> BITS))
        counted = self._are_in(keys[order], self._ranked)
        order = order[counted]
        keys, owners = keys[order], keys[order] >> BITS
        places = places_within(owners) + self._ranks_read[owners] + 1.0
        # A missing row would let the rows below it move up unnoticed.
        self._ranks_read = self._ranks_read + np.bincount(owners, minlength=len(self._pairs))
        if PLACE in rank.columns:
            places = rank[PLACE].to_numpy()[order]
        both = self._are_in(keys, self._matching)
        all_keys = np.concatenate([self._rank_keys, keys[both]])
        sorting = np.argsort(all_keys >> BITS, kind="stable")
        self._rank_keys = all_keys[sorting]
        self.places = np.concatenate([self.places, places[both]])[sorting]
        self._volumes = np.concatenate([self._volumes, volumes[order[both]]])[sorting]

    def _are_in(self, keys: Keys, ids: Sequence[Keys]) -> Mask:
        """A mask of those that are among the ids of their pairs. They ascend by pair."""
        if len(ids) == 1:  # most often; splitting takes longer than looking
            return among(keys, ids[0])
        ends = np.searchsorted(keys, np.arange(1, len(ids)) << BITS)
        return np.concatenate([among(own & IDS, each) for own, each in zip(np.split(keys, ends), ids, strict=True)])

    def _add_prices(self, price: pl.DataFrame, keys: Keys) -> None:
        # Some prices were read by id before.
        new = np.flatnonzero(~among(keys, self._price_keys))
        if len(new) < len(keys):
            price, keys = price[new], keys[new]
        if len(self._price_keys):
            price, keys = pl.concat([self.price, price]), np.concatenate([self._price_keys, keys])
        if np.any(keys[1:] < keys[:-1]):
            order = np.argsort(keys, kind="stable")
            price, keys = price[order], keys[order]
        self.price, self._price_keys = price, keys


@lru_cache(maxsize=256)  # neighbouring snapshots mostly hold the same assets
def _ranked_and_matching(price_ids: str, rank_ids: str) -> tuple[Keys, Keys]:
    ranked = unpack_ids(rank_ids)
    return ranked, np.intersect1d(unpack_ids(price_ids), ranked, assume_unique=True)


def _taken(frame: pl.DataFrame, rows: Counts) -> pl.DataFrame:
    """These rows. Those that follow each other are a part of the frame, which takes no copying."""
    if len(rows) and np.all(np.diff(rows) == 1):
        return frame.slice(int(rows[0]), len(rows))
    return frame[rows]


@cache  # making an empty frame takes as long as filling it
def _no_rows(series: Series) -> pl.DataFrame:
    return series.empty()
