"""The pair of snapshots that answers for an instant, found by its markers; and why there is none.

The rule itself is `newest_pair` in `pair.py`. Here is which markers it must see, and how few are read for that.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lib.clock import DAY, EPOCH, HOUR, MINUTE, isoformat, slot
from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import Marker
from lib.store import Resolution, Store
from lib.units import format_duration
from query_api.asof.absence import HOURLY_AGE, Absence, NoSnapshot
from query_api.asof.marker_windows import MarkerSource, MarkerWindows
from query_api.asof.pair import AsOf, Pair, newest_pair
from query_api.asof.rows import resolution_of
from query_api.asof.tick_pairs import LEAST_AGE, TickPairs, age_by_interval, read_sides

OLDEST = datetime(1972, 1, 1, tzinfo=UTC)
"""No snapshot is older, so the store is not asked. For an instant of the year 1, `at - max_age` would fail."""
FOREVER = datetime(2262, 1, 1, tzinfo=UTC)
WIDENING = 4
"""Each window of the search for an older pair is so many times as long as the one before: few reads at any distance."""


@dataclass(frozen=True, slots=True)
class PairFound(AsOf):
    """The pair for an instant, and the markers it was found among.

    `known_since` is the earliest `known_at` that gives this pair: from then on its snapshots were in the store, and
    every withdrawal that may have decided the choice was made.
    """

    among: Sequence[Marker]
    known_since: datetime


class PairFinder:
    """Finds pairs in one store."""

    def __init__(self, store: Store, *, max_skew: timedelta) -> None:
        self.store = store
        self.max_skew = max_skew
        # A pair most often lies within this age: one interval, and the skew on either side. `find` adapts it.
        self._usual_age = MINUTE + 2 * max_skew

    async def find(self, at: datetime, *, max_age: timedelta | None, known_at: datetime | None = None) -> PairFound:
        """What `search` answers, explained. Raises NoSnapshot."""
        answer = await self.search(at, max_age=max_age, known_at=known_at)
        if isinstance(answer, NoSnapshot):
            raise answer
        return answer

    async def search(
        self,
        at: datetime,
        *,
        max_age: timedelta | None,
        known_at: datetime | None = None,
        explain: bool = True,
        markers: MarkerSource | None = None,
    ) -> PairFound | NoSnapshot:
        """The pair for an instant, or why there is none. Before the store's horizon, hourly snapshots answer.

        Without `max_age`, the newest pair up to the instant decides how old it may be: see `age_by_interval`.
        To explain a missing pair takes more queries than to find one, so a caller with many steps does without.
        `markers` has the markers of the store, by default the store itself.
        """
        markers = markers or self.store
        age = max_age or max(LEAST_AGE, self._usual_age)
        found, changes = await self._within(at, age, known_at, markers)
        if max_age is None:
            tried, age = age, await self._own_age(at, found, known_at)
            if found is None or found.pair.price.tick - self.max_skew < at - min(tried, age):
                found, changes = await self._within(at, age, known_at, markers)
        if found:
            return found
        if explain:
            return await self._explanation(at, age, known_at, changes, asked_for=max_age is not None)
        why = f"no pair of snapshots within {format_duration(age)}"
        return NoSnapshot(why, at=at, known_at=known_at or at, known_since=max(changes, default=EPOCH))

    async def find_each(
        self, instants: Sequence[datetime], *, max_age: timedelta | None, known_at: datetime | None
    ) -> list[PairFound | NoSnapshot]:
        """What `search` answers for each of the ascending instants, unexplained. Reads their markers together."""
        spans = [(at, next(self._spans(at, max_age or LEAST_AGE), None)) for at in instants]
        windows = [(span[0], at, span[2]) for at, span in spans if span]
        markers = await MarkerWindows.read(self.store, windows, known_at)
        return [
            await self.search(at, max_age=max_age, known_at=known_at, explain=False, markers=markers) for at in instants
        ]

    async def _own_age(self, at: datetime, found: PairFound | None, known_at: datetime | None) -> timedelta:
        """The largest age that the newest pair allows: the one that was found, or an older one."""
        pair = found.pair if found else await self.before(at, known_at=known_at) if at >= OLDEST else None
        return age_by_interval([pair.price, pair.rank] if pair else [])

    async def _within(
        self, at: datetime, max_age: timedelta, known_at: datetime | None, source: MarkerSource
    ) -> tuple[PairFound | None, list[datetime]]:
        """The pair within an age. Without one, the changes that may have left it out."""
        changes: list[datetime] = []
        for start, age, resolution in self._spans(at, max_age):
            markers = await source.markers(start, at, resolution=resolution, known_at=known_at)
            answering = [marker for marker in markers if not marker.is_withdrawn(known_at)]
            if pair := newest_pair(answering, at, max_skew=self.max_skew, max_age=age):
                first_rank = pair.price.tick - self.max_skew
                if age < max_age and first_rank < start:
                    continue  # a rank tick before the start was not read, and may be nearer: read the whole span
                self._usual_age = max(pair.price.interval, pair.rank.interval) + 2 * self.max_skew
                changes += _changes([marker for marker in markers if marker.tick >= first_rank], known_at)
                since = max([pair.visible_since, *changes])
                return PairFound(at, pair, resolution, known_at or since, answering, since), changes
            if age >= max_age:  # a shorter span is part of the next one
                changes += _changes(markers, known_at)
        return None, changes

    def _spans(self, at: datetime, max_age: timedelta) -> Iterator[tuple[datetime, timedelta, Resolution]]:
        """The spans that may hold the pair: where each begins, the largest age of a tick in it, and its resolution."""
        horizon = self.store.horizon()
        if at >= max(OLDEST, horizon):
            # The last few minutes cost less to read, and most often suffice.
            for age in sorted({min(max_age, self._usual_age), max_age}):
                yield max(at - age, horizon), age, "1m"
        if at >= OLDEST and at - max_age < horizon:
            # From the full hour on: the first tick of an hour is found only among all ticks of that hour.
            age = max(max_age, HOURLY_AGE)
            yield slot(at - age, HOURLY_AGE), age, "1h"

    async def _explanation(
        self, at: datetime, max_age: timedelta, known_at: datetime | None, changes: list[datetime], *, asked_for: bool
    ) -> NoSnapshot:
        """Why there is no pair: nothing stored, too early, no ticks within the skew, or the nearest pair is too old."""
        series = (PRICE.name, VOLUME_RANK.name)
        oldest = await asyncio.gather(*(first_marker(self.store, name, known_at) for name in series))
        missing = [name for name, marker in zip(series, oldest, strict=True) if marker is None]
        if missing:
            when = f"nothing was stored by {isoformat(known_at)}" if known_at else "nothing is stored yet"
            return NoSnapshot(f"{when} of {' and '.join(missing)}", at=at, known_at=known_at or at)
        firsts = [marker for marker in oldest if marker]
        first = max(marker.tick for marker in firsts)
        before = await self.before(at, known_at=known_at) if at >= first else None
        known_since = max(
            [*(marker.visible_since for marker in firsts), *([before.visible_since] if before else []), *changes]
        )
        return Absence(first, before, max_age, asked_for, known_at or known_since).explain(at)

    async def before(self, at: datetime, *, known_at: datetime | None = None) -> Pair | None:
        """The newest pair up to `at`, however old; with `known_at` of the snapshots the store had then.

        It looks at windows that end with the newest ticks of both series, so a hole between them costs nothing.
        """
        at = min(at, known_at) if known_at else at
        last, span = at, HOUR
        while True:
            price, rank = await asyncio.gather(
                self.store.nearest(PRICE.name, last),
                self.store.nearest(VOLUME_RANK.name, min(last + self.max_skew, at)),
            )
            if price is None or rank is None:
                return None
            last = min(price.tick, rank.tick + self.max_skew)
            start = last - span
            if last >= (horizon := self.store.horizon()) > start:
                start = horizon
            if pair := await self._pair_in(start, last, at, known_at):
                return pair
            last = start - timedelta.resolution
            span = min(span * WIDENING, DAY) if known_at else span * WIDENING

    async def _pair_in(self, start: datetime, last: datetime, at: datetime, known_at: datetime | None) -> Pair | None:
        """The newest pair whose price tick lies in a window."""
        if known_at is None:
            sides = await read_sides(self.store, start, last, self.max_skew)
            pairs = await asyncio.to_thread(TickPairs, *sides, self.max_skew)
            pair = pairs.at(at, since=start - self.max_skew)
            price = await self._marker(PRICE.name, pair.price.tick) if pair else None
            rank = await self._marker(VOLUME_RANK.name, pair.rank.tick) if pair else None
            return Pair(price, rank) if price and rank else None
        resolution = resolution_of(last, self.store.horizon())
        stop = min(last + self.max_skew, at)
        markers = await self.store.markers(start - self.max_skew, stop, resolution=resolution, known_at=known_at)
        answering = [marker for marker in markers if not marker.is_withdrawn(known_at)]
        fit = [marker for marker in answering if marker.series != PRICE.name or start <= marker.tick <= last]
        return newest_pair(fit, stop, max_skew=self.max_skew, max_age=stop - start + self.max_skew)

    async def _marker(self, series: str, tick: datetime) -> Marker | None:
        marker = await self.store.nearest(series, tick)
        return marker if marker and marker.tick == tick else None


def _changes(markers: Iterable[Marker], known_at: datetime | None) -> list[datetime]:
    """When markers were withdrawn or restored, up to `known_at`: each time may have changed which pair answers."""
    times = [time for marker in markers for time in (marker.withdrawn_at, marker.restored_at) if time]
    return [time for time in times if known_at is None or time <= known_at]


async def first_marker(store: Store, series: str, known_at: datetime | None) -> Marker | None:
    """The oldest marker of a series that was visible, and not withdrawn, at `known_at`.

    The search reads only ticks, in windows that double: a few queries, however many ticks came later.
    """
    marker = await store.first(series)
    if marker is None or marker.known_tick.answers(known_at):
        return marker
    newest = await store.nearest(series, FOREVER)
    window, start = HOUR, marker.tick
    while newest and start <= newest.tick:
        resolution = resolution_of(start, store.horizon())
        if ticks := await store.ticks(series, start, start + window, resolution=resolution, known_at=known_at):
            return (await store.markers(ticks[0], ticks[0], series=series, resolution=resolution))[0]
        start, window = start + window, window * 2
    return None
