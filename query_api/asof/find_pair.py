"""The pair of snapshots that answers for an instant, found by its markers; and why there is none."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lib.clock import isoformat, slot
from lib.errors import TopcoinsError
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from lib.store import Resolution, Store
from lib.units import format_duration
from query_api.asof.pair import Pair, newest_pair
from query_api.asof.pair_before import pair_before

HOURLY_AGE = timedelta(hours=1)
OLDEST = datetime(1972, 1, 1, tzinfo=UTC)
"""No snapshot is older, so a store is not asked about the calendar's first days, where subtraction ends."""


class NoSnapshot(TopcoinsError):
    """There is no pair for the instant. Carries the nearest pair before and the first one, where they exist."""

    def __init__(self, message: str, *, before: Pair | None, first: datetime | None) -> None:
        super().__init__(message)
        self.before = before
        self.first = first


@dataclass(frozen=True, slots=True)
class PairFound:
    """The pair for an instant, all markers it was found among, and where its rows are."""

    pair: Pair
    markers: list[Marker]
    resolution: Resolution


class PairFinder:
    """Finds pairs in one store."""

    def __init__(self, store: Store, *, max_skew: timedelta) -> None:
        self._store = store
        self.max_skew = max_skew

    async def find(
        self, at: datetime, *, max_age: timedelta, known_at: datetime | None = None, explain: bool = True
    ) -> PairFound:
        """The pair for an instant, NoSnapshot without one; past the raw retention the hourly snapshots answer.

        To explain what is missing asks the store for more than to find what is there: not for each step of many.
        """
        if at < OLDEST:
            raise await self._none(at, max_age, known_at, explain)
        horizon = self._store.horizon()
        if at >= horizon:
            markers = await self._store.markers(max(at - max_age, horizon), at, known_at=known_at)
            if pair := newest_pair(markers, at, max_skew=self.max_skew, max_age=max_age):
                return PairFound(pair, markers, "1m")
        if at - max_age < horizon:
            age = max(max_age, HOURLY_AGE)
            start = slot(at - age, HOURLY_AGE)
            markers = await self._store.markers(start, at, resolution="1h", known_at=known_at)
            if pair := newest_pair(markers, at, max_skew=self.max_skew, max_age=age):
                return PairFound(pair, markers, "1h")
        raise await self._none(at, max_age, known_at, explain)

    async def _none(self, at: datetime, max_age: timedelta, known_at: datetime | None, explain: bool) -> NoSnapshot:
        if not explain:
            return NoSnapshot(f"no pair of snapshots within {format_duration(max_age)}", before=None, first=None)
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
        before = await self.before(at, known_at=known_at)
        if before is None and known_at:
            why = f"no pair of snapshots before it was in the store at {isoformat(known_at)}"
        elif before is None:
            why = "price and rank ticks lie further apart than the skew allows"
        else:
            age = at - min(before.price.tick, before.rank.tick)
            why = (
                f"the nearest pair before lies {format_duration(age)} back, further than the"
                f" {format_duration(max_age)} asked for: a gap, or nothing since"
            )
        return NoSnapshot(f"no snapshot for {isoformat(at)}: {why}", before=before, first=first)

    async def before(self, at: datetime, *, known_at: datetime | None = None) -> Pair | None:
        """The newest pair up to `at`, however old."""
        return await pair_before(self._store, at, max_skew=self.max_skew, known_at=known_at)
