"""The top list as of an instant: the pair, its first rows, and the columns of extra series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from lib.clock import EPOCH
from lib.columns import CHANGES, MORE
from lib.schema import ID, Series
from lib.snapshot import Marker
from lib.store import Resolution, Store
from query_api.asof.absence import NoSnapshot
from query_api.asof.changes import ChangeFinder, Earlier
from query_api.asof.filters import NO_FILTERS, Filtered, Filters
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.asof.pair import AsOf, Pair, nearest_marker
from query_api.asof.rows import FirstRows, RowReader
from query_api.asof.sort import Sort
from query_api.long_work import LongWork

WHOLE = 2**31
"""More assets than any list has."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A series joined as further columns; its values are null if it has no snapshot near the pair."""

    series: Series
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class TopList(AsOf):
    """The list: its rows have the columns of `lib.columns`, then the extra series' fields.

    `earlier` are the lists that the columns of changes come from. `known_since` is the earliest `known_at` that gives
    this list.
    """

    matched: int
    extras: tuple[Extra, ...]
    rows: pl.DataFrame
    filtered: Filtered | None = None
    earlier: tuple[Earlier, ...] = ()
    known_since: datetime = EPOCH

    @property
    def markers(self) -> tuple[Marker | None, ...]:
        """The snapshots the list uses; None for an extra series that has none."""
        return (self.pair.price, self.pair.rank, *(extra.marker for extra in self.extras))


class TopListFinder:
    """Finds lists in one store."""

    def __init__(self, store: Store, *, max_skew: timedelta, extras: Sequence[Series] = ()) -> None:
        self.pair_finder = PairFinder(store, max_skew=max_skew)
        self._changes = ChangeFinder(store, self.pair_finder)
        self._store = store
        self._row_reader = RowReader(store)
        self._max_skew = max_skew
        self._extras = tuple(extras)

    async def find(
        self,
        at: datetime,
        *,
        limit: int,
        max_age: timedelta | None,
        known_at: datetime | None = None,
        filters: Filters = NO_FILTERS,
        sort: Sort | None = None,
        more: Sequence[str] = (),
    ) -> TopList:
        """The top `limit` as of `at`; NoSnapshot with the reason if no pair lies within `max_age`.

        `known_at` ignores snapshots stored after it, so that a later delivery or backfill changes nothing. `sort`
        orders the whole list before the limit is applied. `more` names further columns, of `lib.columns.MORE`.
        """
        basis = await self.pair_finder.find(at, max_age=max_age, known_at=known_at)
        wanted = _Wanted(WHOLE if sort else limit, max_age, known_at, filters, more)
        top = await self._completed(at, basis, (await self._first([basis], wanted))[_key(basis)], wanted)
        return replace(top, rows=sort.apply(top.rows).head(limit)) if sort else top

    async def find_each(
        self,
        instants: Sequence[datetime],
        long_work: LongWork,
        *,
        limit: int,
        max_age: timedelta | None,
        known_at: datetime | None = None,
        filters: Filters = NO_FILTERS,
        more: Sequence[str] = (),
    ) -> list[TopList | NoSnapshot]:
        """What `find` answers for each of the ascending instants, as a part of long work.

        NoSnapshot is not explained. All is read together.
        """
        bases = await self.pair_finder.find_each(instants, max_age=max_age, known_at=known_at)
        wanted = _Wanted(limit, max_age, known_at, filters, more)
        first = await self._first([basis for basis in bases if isinstance(basis, PairFound)], wanted, long_work)
        return [
            basis if isinstance(basis, NoSnapshot) else await self._completed(at, basis, first[_key(basis)], wanted)
            for at, basis in zip(instants, bases, strict=True)
        ]

    async def _first(
        self, bases: Iterable[PairFound], wanted: "_Wanted", long_work: LongWork | None = None
    ) -> "dict[_Key, FirstRows]":
        """The first rows of each pair."""
        pairs: dict[Resolution, dict[_Key, Pair]] = {}
        for basis in bases:
            pairs.setdefault(basis.resolution, {})[_key(basis)] = basis.pair
        columns = [column for column in MORE if column.field and column.name in wanted.more]
        first: dict[_Key, FirstRows] = {}
        for resolution, some in pairs.items():
            rows = await self._row_reader.first_of_each(
                list(some.values()), wanted.limit, resolution, wanted.filters, columns, long_work
            )
            first |= zip(some, rows, strict=True)
        return first

    async def _completed(self, at: datetime, basis: PairFound, first: FirstRows, wanted: "_Wanted") -> TopList:
        """The list, with the columns of extra series and of changes."""
        pair, resolution = basis.pair, basis.resolution
        extras = tuple(self._extra(series, basis.markers, pair) for series in self._extras)
        rows = first.rows
        for extra in extras:
            rows = await self._with(extra, rows, resolution)
        spans = [name for name in CHANGES if name in wanted.more]
        rows, earlier = await self._changes.add(
            rows, spans, pair.price.tick, max_age=wanted.max_age, known_at=wanted.known_at
        )
        since = max(
            [
                basis.known_since,
                *(extra.marker.visible_since for extra in extras if extra.marker),
                *(each.basis.known_since for each in earlier if each.basis),
            ]
        )
        known, compared = wanted.known_at or since, tuple(earlier)
        return TopList(at, pair, resolution, known, first.matched, extras, rows, first.filtered, compared, since)

    def _extra(self, series: Series, markers: Sequence[Marker], pair: Pair) -> Extra:
        own = [marker for marker in markers if marker.series == series.name]
        return Extra(series, nearest_marker(own, pair.price.tick, self._max_skew))

    async def _with(self, extra: Extra, rows: pl.DataFrame, resolution: Resolution) -> pl.DataFrame:
        values = extra.series.empty()
        if extra.marker:
            ids = rows[ID].to_list()
            values = await self._store.rows(extra.series, extra.marker.tick, ids=ids, resolution=resolution)
        return rows.join(values.drop("tier"), on=ID, how="left", maintain_order="left")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which lists: the arguments of `TopListFinder.find`."""

    limit: int
    max_age: timedelta | None
    known_at: datetime | None
    filters: Filters
    more: Sequence[str]


_Key = tuple[datetime, datetime, Resolution]


def _key(basis: PairFound) -> _Key:
    return basis.pair.price.tick, basis.pair.rank.tick, basis.resolution
