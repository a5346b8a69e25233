"""The top list as of an instant: markers, the pair, then only the rows the answer needs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from lib.clock import isoformat, slot
from lib.errors import StoreMalformed, TopcoinsError
from lib.schema import ID, PRICE, TIER_PLACES, VOLUME_RANK, Series, tiers_holding
from lib.snapshot import Marker, unpack_ids
from lib.store import Resolution, Store
from lib.units import format_duration
from query_api.asof import Pair, join, nearest, newest_pair

HOURLY_AGE = timedelta(hours=1)
OLDEST = datetime(1971, 1, 1, tzinfo=UTC)
"""No snapshot is older, so a store is not asked about the calendar's first days, where subtraction ends."""
LAST_TIER = len(TIER_PLACES)
SHOWN = ("usd", "updated_at")
"""The fields of a price the list shows: each one more is so many more series to read in InfluxDB."""
STEPS_BACK = 20
"""How often the search for the nearest pair before a gap steps back; each step asks the store."""


class NoSnapshot(TopcoinsError):
    """There is no pair for the instant. Carries the nearest pair before and the first one, where they exist."""

    def __init__(self, message: str, *, before: Pair | None, first: datetime | None) -> None:
        super().__init__(message)
        self.before = before
        self.first = first


@dataclass(frozen=True, slots=True)
class Extra:
    """A series joined as further columns; without a snapshot near the pair its values are null."""

    series: Series
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class Top:
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


class TopLists:
    """Answers from one store."""

    def __init__(self, store: Store, *, max_skew: timedelta, extras: Sequence[Series] = ()) -> None:
        self._store = store
        self._max_skew = max_skew
        self._extras = tuple(extras)

    async def at(self, at: datetime, *, limit: int, max_age: timedelta, known_at: datetime | None = None) -> Top:
        """The top `limit` as of `at`; NoSnapshot with the reason when there is no pair within `max_age`.

        With `known_at` from what the store had then: a later delivery or backfill changes nothing.
        """
        pair, markers, resolution = await self._found(at, max_age, known_at)
        rows, matched = await self._rows(pair, limit, resolution)
        extras = tuple(self._extra(series, markers, pair) for series in self._extras)
        for extra in extras:
            rows = await self._with(extra, rows, resolution)
        stood_on = [pair.price, pair.rank, *(extra.marker for extra in extras if extra.marker)]
        known_at = known_at or max(marker.known_since for marker in stood_on)
        return Top(at, pair, resolution, matched, extras, rows, known_at)

    async def _found(
        self, at: datetime, max_age: timedelta, known_at: datetime | None
    ) -> tuple[Pair, list[Marker], Resolution]:
        """The pair for an instant; past the raw retention the hourly snapshots answer."""
        if at < OLDEST:
            raise await self._none(at, max_age, known_at)
        horizon = self._store.horizon()
        if at >= horizon:
            markers = await self._store.markers(max(at - max_age, horizon), at, known_at=known_at)
            if pair := newest_pair(markers, at, max_skew=self._max_skew, max_age=max_age):
                return pair, markers, "1m"
        if at - max_age < horizon:
            age = max(max_age, HOURLY_AGE)
            start = slot(at - age, HOURLY_AGE)
            markers = await self._store.markers(start, at, resolution="1h", known_at=known_at)
            if pair := newest_pair(markers, at, max_skew=self._max_skew, max_age=age):
                return pair, markers, "1h"
        raise await self._none(at, max_age, known_at)

    async def _none(self, at: datetime, max_age: timedelta, known_at: datetime | None) -> NoSnapshot:
        first_price, first_rank = await asyncio.gather(
            self._store.first(PRICE.name), self._store.first(VOLUME_RANK.name)
        )
        if first_price is None or first_rank is None:
            missing = [s.name for s, m in ((PRICE, first_price), (VOLUME_RANK, first_rank)) if m is None]
            return NoSnapshot(f"nothing is stored yet of {' and '.join(missing)}", before=None, first=None)
        first = max(first_price.tick, first_rank.tick)
        if at < first:
            why = f"{isoformat(at)} is before the first snapshot, of {isoformat(first)}"
            return NoSnapshot(why, before=None, first=first)
        before = await self._pair_before(at)
        if before is None:
            why = "price and rank ticks lie further apart than the skew allows"
        elif known_at and (since := max(before.price.known_since, before.rank.known_since)) > known_at:
            why = f"the nearest pair before got into the store at {isoformat(since)}, after the known_at asked for"
        else:
            age = at - min(before.price.tick, before.rank.tick)
            why = (
                f"the nearest pair before lies {format_duration(age)} back, further than the"
                f" {format_duration(max_age)} asked for: a gap, or nothing since"
            )
        return NoSnapshot(f"no snapshot for {isoformat(at)}: {why}", before=before, first=first)

    async def _pair_before(self, at: datetime) -> Pair | None:
        """The newest pair however old, stepping back over ticks that have no counterpart."""
        for _ in range(STEPS_BACK):
            price, rank = await asyncio.gather(
                self._store.nearest(PRICE.name, at), self._store.nearest(VOLUME_RANK.name, at)
            )
            if price is None or rank is None:
                return None
            if abs(price.tick - rank.tick) <= self._max_skew:
                start, stop = price.tick - self._max_skew, min(price.tick + self._max_skew, at)
                near = await self._store.markers(start, stop, series=VOLUME_RANK.name)
                return Pair(price, nearest(near, price.tick, self._max_skew) or rank)
            at = min(price.tick, rank.tick) + self._max_skew
        return None

    async def _rows(self, pair: Pair, limit: int, resolution: Resolution) -> tuple[pl.DataFrame, int]:
        """The first `limit` matching rows, and how many match in all.

        The markers tell which ids each side has, so only the tiers that hold the answer are read; prices whose
        asset stands in a lower tier in the price source follow by id.
        """
        ranked = unpack_ids(pair.rank.ids)
        matching = np.intersect1d(unpack_ids(pair.price.ids), ranked, assume_unique=True)
        wanted = min(limit, len(matching))
        start, stop = 0, tiers_holding(wanted) + 1
        rank, price = await self._tiers(pair, range(start, stop), resolution)
        while (held := np.isin(rank[ID], matching)).sum() < wanted and stop <= LAST_TIER:
            start, stop = stop, stop + 1
            more = await self._tiers(pair, range(start, stop), resolution)
            rank, price = pl.concat([rank, more[0]]), pl.concat([price, more[1]])
        # A missing row would let the ones below it move up unseen.
        due = min([len(ranked), *TIER_PLACES[stop - 1 : stop]])
        known = np.isin(rank[ID], ranked).sum()
        rank = rank.filter(pl.Series(held))
        first = rank[np.argsort(rank["rank"], stable=True)[:wanted]]
        if len(missing := np.setdiff1d(first[ID], price[ID], assume_unique=True)):
            rest = self._store.rows(PRICE, pair.price.tick, ids=missing.tolist(), fields=SHOWN, resolution=resolution)
            price = pl.concat([price, await rest])
        rows = await asyncio.to_thread(join, price, first, wanted)
        if known < due or len(rows) != wanted:
            raise StoreMalformed(
                f"the snapshots of {isoformat(pair.price.tick)} and {isoformat(pair.rank.tick)} hold {known} of {due}"
                f" ranks and {len(rows)} of the {wanted} rows their markers name"
            )
        return rows, len(matching)

    async def _tiers(self, pair: Pair, tiers: range, resolution: Resolution) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rank and price rows of some tiers, read at the same time."""
        return await asyncio.gather(
            self._store.rows(VOLUME_RANK, pair.rank.tick, tiers=tiers, resolution=resolution),
            self._store.rows(PRICE, pair.price.tick, tiers=tiers, fields=SHOWN, resolution=resolution),
        )

    def _extra(self, series: Series, markers: Sequence[Marker], pair: Pair) -> Extra:
        own = [marker for marker in markers if marker.series == series.name]
        return Extra(series, nearest(own, pair.price.tick, self._max_skew))

    async def _with(self, extra: Extra, rows: pl.DataFrame, resolution: Resolution) -> pl.DataFrame:
        values = extra.series.empty()
        if extra.marker:
            ids = rows[ID].to_list()
            values = await self._store.rows(extra.series, extra.marker.tick, ids=ids, resolution=resolution)
        return rows.join(values.drop("tier"), on=ID, how="left", maintain_order="left")
