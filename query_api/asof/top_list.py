"""The top list as of an instant: the pair, its first rows, and what extra series tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from lib.schema import ID, Series
from lib.snapshot import Marker
from lib.store import Resolution, Store
from query_api.asof.filters import NO_FILTERS, Filtered, Filters
from query_api.asof.find_pair import PairFinder
from query_api.asof.hourly_rows import HourlyRows, RowSource
from query_api.asof.pair import Pair, nearest_marker
from query_api.asof.rows import RowReader


@dataclass(frozen=True, slots=True)
class Extra:
    """A series joined as further columns; without a snapshot near the pair its values are null."""

    series: Series
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class TopList:
    """The answer: when, from what, and the rows (`asof.COLUMNS`, then the extra series' fields).

    `known_at` is the instant asked for, or else the earliest that gives this answer: when the last of its snapshots
    got into the store.
    """

    at: datetime
    pair: Pair
    resolution: Resolution
    matched: int
    extras: tuple[Extra, ...]
    rows: pl.DataFrame
    known_at: datetime
    filtered: Filtered | None = None


class TopListFinder:
    """Answers from one store."""

    def __init__(
        self, store: Store, *, max_skew: timedelta, extras: Sequence[Series] = (), rows: RowSource | None = None
    ) -> None:
        self.pair_finder = PairFinder(store, max_skew=max_skew)
        self._store = store
        self._listings = RowReader(rows or store)
        self._max_skew = max_skew
        self._extras = tuple(extras)

    def with_hourly_rows(self, stop: datetime) -> "TopListFinder":
        """The same lists for who asks for many in a row, up to an instant."""
        rows = HourlyRows(self._store, stop)
        return TopListFinder(self._store, max_skew=self._max_skew, extras=self._extras, rows=rows)

    async def find(
        self,
        at: datetime,
        *,
        limit: int,
        max_age: timedelta,
        known_at: datetime | None = None,
        filters: Filters = NO_FILTERS,
        explain: bool = True,
    ) -> TopList:
        """The top `limit` as of `at`; NoSnapshot with the reason when there is no pair within `max_age`.

        With `known_at` from what the store had then: a later delivery or backfill changes nothing.
        """
        found = await self.pair_finder.find(at, max_age=max_age, known_at=known_at, explain=explain)
        pair, resolution = found.pair, found.resolution
        listing = await self._listings.first(pair, limit, resolution, filters)
        extras = tuple(self._extra(series, found.markers, pair) for series in self._extras)
        rows = listing.rows
        for extra in extras:
            rows = await self._with(extra, rows, resolution)
        stood_on = [pair.price, pair.rank, *(extra.marker for extra in extras if extra.marker)]
        known_at = known_at or max(marker.visible_since for marker in stood_on)
        return TopList(at, pair, resolution, listing.matched, extras, rows, known_at, listing.filtered)

    def _extra(self, series: Series, markers: Sequence[Marker], pair: Pair) -> Extra:
        own = [marker for marker in markers if marker.series == series.name]
        return Extra(series, nearest_marker(own, pair.price.tick, self._max_skew))

    async def _with(self, extra: Extra, rows: pl.DataFrame, resolution: Resolution) -> pl.DataFrame:
        values = extra.series.empty()
        if extra.marker:
            ids = rows[ID].to_list()
            values = await self._store.rows(extra.series, extra.marker.tick, ids=ids, resolution=resolution)
        return rows.join(values.drop("tier"), on=ID, how="left", maintain_order="left")
