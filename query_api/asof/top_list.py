"""The top list as of an instant: the pair, its first rows, and the columns of extra series and of changes."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from lib.clock import EPOCH
from lib.columns import CHANGES, MORE
from lib.schema import ID, PRICE, Series
from lib.snapshot import Marker
from lib.store import Resolution, Store
from query_api.asof.absence import NoSnapshot
from query_api.asof.filters import NO_FILTERS, Filtered, Filters, Sort
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.pair import AsOf, Pair, nearest_marker
from query_api.asof.rows import FirstRows, read_first_rows
from query_api.long_work import LongWork

WHOLE = 2**31
"""More assets than any list has."""
MOST_BY_ID = 500
"""Above so many assets, a whole earlier snapshot is read for changes: that is faster than to name them."""
_Key = tuple[datetime, datetime, Resolution]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which list: the first `limit` assets that pass the filters, of snapshots at most `max_age` old.

    `known_at` ignores snapshots stored after it, so that a later delivery or backfill changes nothing. `sort` orders
    the whole list before the limit is applied. `more` names further columns, of `lib.columns.MORE`.
    """

    limit: int
    max_age: timedelta | None
    known_at: datetime | None = None
    filters: Filters = NO_FILTERS
    sort: Sort | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extra:
    """A series joined as further columns; its values are null if it has no snapshot near the pair."""

    series: Series
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class TopList(AsOf):
    """The list: its rows have the columns of `lib.columns`, then the extra series' fields.

    `earlier` are the pairs that the columns of changes come from, None where there is none. `known_since` is the
    earliest `known_at` that gives this list.
    """

    matched: int
    extras: tuple[Extra, ...]
    rows: pl.DataFrame
    filtered: Filtered | None = None
    earlier: tuple[PairFound | None, ...] = ()
    known_since: datetime = EPOCH

    @property
    def markers(self) -> tuple[Marker | None, ...]:
        """The snapshots the list uses; None for an extra series that has none."""
        return (self.pair.price, self.pair.rank, *(extra.marker for extra in self.extras))


class TopListFinder:
    """Finds lists in one store."""

    def __init__(self, store: Store, *, max_skew: timedelta, extras: Sequence[Series] = ()) -> None:
        self.pair_finder = PairFinder(store, max_skew=max_skew)
        self._extras = tuple(extras)

    async def find(self, at: datetime, query: ListQuery) -> TopList:
        """The list as of `at`; NoSnapshot with the reason if no pair lies within the largest age."""
        basis = await self.pair_finder.find(at, max_age=query.max_age, known_at=query.known_at)
        wanted = replace(query, limit=WHOLE) if query.sort else query
        top = await self._completed(basis, (await self._first([basis], wanted))[basis.key], query)
        return replace(top, rows=query.sort.apply(top.rows).head(query.limit)) if query.sort else top

    async def find_each(
        self, instants: Sequence[datetime], query: ListQuery, long_work: LongWork
    ) -> list[TopList | NoSnapshot]:
        """What `find` answers for each of the ascending instants, as a part of long work, without `sort`.

        NoSnapshot is not explained. All is read together.
        """
        bases = await self.pair_finder.find_each(instants, max_age=query.max_age, known_at=query.known_at)
        first = await self._first([basis for basis in bases if isinstance(basis, PairFound)], query, long_work)
        return [
            basis if isinstance(basis, NoSnapshot) else await self._completed(basis, first[basis.key], query)
            for basis in bases
        ]

    async def _first(
        self, bases: Iterable[PairFound], query: ListQuery, long_work: LongWork | None = None
    ) -> dict[_Key, FirstRows]:
        """The first rows of each pair."""
        pairs: dict[Resolution, dict[_Key, Pair]] = {}
        for basis in bases:
            pairs.setdefault(basis.resolution, {})[basis.key] = basis.pair
        columns = [column for column in MORE if column.field and column.name in query.more]
        first: dict[_Key, FirstRows] = {}
        for resolution, some in pairs.items():
            rows = await read_first_rows(
                self.pair_finder.store, list(some.values()), query.limit, resolution, query.filters, columns, long_work
            )
            first |= zip(some, rows, strict=True)
        return first

    async def _completed(self, basis: PairFound, first: FirstRows, query: ListQuery) -> TopList:
        """The list, with the columns of extra series and of changes."""
        at, pair, resolution = basis.at, basis.pair, basis.resolution
        extras = tuple(self._extra(series, basis) for series in self._extras)
        rows = first.rows
        for extra in extras:
            rows = await self._with(extra, rows, resolution)
        rows, earlier = await self._with_changes(rows, pair.price.tick, query)
        since = max(
            [
                *(pair_found.known_since for pair_found in (basis, *earlier) if pair_found),
                *(extra.marker.visible_since for extra in extras if extra.marker),
            ]
        )
        known, compared = query.known_at or since, tuple(earlier)
        return TopList(at, pair, resolution, known, first.matched, extras, rows, first.filtered, compared, since)

    def _extra(self, series: Series, basis: PairFound) -> Extra:
        own = [marker for marker in basis.among if marker.series == series.name]
        return Extra(series, nearest_marker(own, basis.pair.price.tick, self.pair_finder.max_skew))

    async def _with(self, extra: Extra, rows: pl.DataFrame, resolution: Resolution) -> pl.DataFrame:
        values = extra.series.empty()
        if extra.marker:
            ids = rows[ID].to_list()
            values = await self.pair_finder.store.rows(extra.series, extra.marker.tick, ids=ids, resolution=resolution)
        return rows.join(values.drop("tier"), on=ID, how="left", maintain_order="left")

    async def _with_changes(
        self, rows: pl.DataFrame, tick: datetime, query: ListQuery
    ) -> tuple[pl.DataFrame, list[PairFound | None]]:
        """The rows of the price tick with the columns of changes, and the pairs they compare with."""

        async def before(name: str) -> tuple[PairFound | None, pl.DataFrame]:
            earlier = await self.pair_finder.search(
                tick - CHANGES[name], max_age=query.max_age, known_at=query.known_at, explain=False
            )
            if isinstance(earlier, NoSnapshot):
                return None, PRICE.only(("usd",)).empty()
            then, ids = earlier.pair.price.tick, rows[ID].to_list() if len(rows) <= MOST_BY_ID else None
            return earlier, await self.pair_finder.store.rows(
                PRICE, then, ids=ids, fields=("usd",), resolution=earlier.resolution
            )

        names = [name for name in CHANGES if name in query.more]
        read = await asyncio.gather(*(before(name) for name in names))
        for name, (_, prices) in zip(names, read, strict=True):
            then = rows.select(ID).join(prices, on=ID, how="left", maintain_order="left")["usd"]
            rows = rows.with_columns(((pl.col("price_usd") / then - 1) * 100).round(4).alias(name))
        return rows, [earlier for earlier, _ in read]
