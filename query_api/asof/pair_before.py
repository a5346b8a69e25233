"""The nearest pair before an instant, however old: for answers in a gap, and for what a gap is filled with."""

import asyncio
from datetime import datetime, timedelta

from lib.schema import PRICE, VOLUME_RANK
from lib.snapshot import HOUR, Marker
from lib.store import Resolution, Store
from query_api.asof.pair import Pair, newest_pair
from query_api.asof.tick_pairs import read_pairs

DAY = timedelta(days=1)
WIDENING = 4
"""Each window of the search is so many times as long as the one before: few reads, whatever the distance."""


async def pair_before(
    store: Store, at: datetime, *, max_skew: timedelta, known_at: datetime | None = None
) -> Pair | None:
    """The newest pair up to `at`; with `known_at` of the snapshots the store had then.

    It looks at windows that end with the newest ticks of both series, so a hole between them costs nothing.
    """
    at = min(at, known_at) if known_at else at
    last, span = at, HOUR
    while True:
        price, rank = await asyncio.gather(
            store.nearest(PRICE.name, last), store.nearest(VOLUME_RANK.name, min(last + max_skew, at))
        )
        if price is None or rank is None:
            return None
        last = min(price.tick, rank.tick + max_skew)
        start = last - span
        if last >= (horizon := store.horizon()) > start:
            start = horizon
        if pair := await _pair_in(store, start, last, at, max_skew, known_at):
            return pair
        last = start - timedelta.resolution
        span = min(span * WIDENING, DAY) if known_at else span * WIDENING


async def _pair_in(
    store: Store, start: datetime, last: datetime, at: datetime, max_skew: timedelta, known_at: datetime | None
) -> Pair | None:
    """The newest pair whose price tick lies in a window."""
    if known_at is None:
        pair = (await read_pairs(store, start, last, max_skew)).at(at, since=start - max_skew)
        if pair is None:
            return None
        price = await _marker(store, PRICE.name, pair.price.tick)
        rank = await _marker(store, VOLUME_RANK.name, pair.rank.tick)
        return Pair(price, rank) if price and rank else None
    resolution: Resolution = "1m" if last >= store.horizon() else "1h"
    stop = min(last + max_skew, at)
    markers = await store.markers(start - max_skew, stop, resolution=resolution, known_at=known_at)
    answering = [marker for marker in markers if not marker.is_withdrawn(known_at)]
    fit = [marker for marker in answering if marker.series != PRICE.name or start <= marker.tick <= last]
    return newest_pair(fit, stop, max_skew=max_skew, max_age=stop - start + max_skew)


async def _marker(store: Store, series: str, tick: datetime) -> Marker | None:
    marker = await store.nearest(series, tick)
    return marker if marker and marker.tick == tick else None
