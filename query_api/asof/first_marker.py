"""The oldest marker of a series that a reader could see at an instant."""

from datetime import UTC, datetime, timedelta

from lib.snapshot import Marker
from lib.store import Resolution, Store

FOREVER = datetime(2262, 1, 1, tzinfo=UTC)
FIRST_WINDOW = timedelta(hours=1)


async def first_marker(store: Store, series: str, known_at: datetime | None) -> Marker | None:
    """The oldest marker of a series that was visible, and not withdrawn, at `known_at`.

    The search reads only ticks, in windows that double: a few queries, however many ticks came later.
    """
    marker = await store.first(series)
    if marker is None or (_is_visible(marker, known_at) and not marker.is_withdrawn(known_at)):
        return marker
    newest = await store.nearest(series, FOREVER)
    window, start = FIRST_WINDOW, marker.tick
    while newest and start <= newest.tick:
        resolution: Resolution = "1m" if start >= store.horizon() else "1h"
        if ticks := await store.ticks(series, start, start + window, resolution=resolution, known_at=known_at):
            return (await store.markers(ticks[0], ticks[0], series=series, resolution=resolution))[0]
        start, window = start + window, window * 2
    return None


def _is_visible(marker: Marker, known_at: datetime | None) -> bool:
    return known_at is None or marker.visible_since <= known_at
