"""The store's rows of many snapshots for a part, some ticks at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime

import polars as pl

from lib.archive import tables
from lib.archive.additions import Additions
from lib.archive.parts import TICKS_IN_GROUP
from lib.schema import Series
from lib.snapshot import Marker
from lib.store import Resolution, Store
from lib.times import TIME

Short = Callable[[Marker], None]
"""Called with the marker of a snapshot of which the store lacks rows. It is left out."""
_PLACES: tuple[Resolution, ...] = ("1h", "1m")


def read_rows(
    store: Store, series: Series, markers: Sequence[Marker], additions: Additions, short: Short
) -> Iterator[pl.DataFrame]:
    """The rows of these snapshots in the order of a part, for a reader in another thread. Call it on the event loop."""
    return _in_thread(asyncio.get_running_loop(), _frames(store, series, markers, additions, short))


async def _frames(
    store: Store, series: Series, markers: Sequence[Marker], additions: Additions, short: Short
) -> AsyncIterator[pl.DataFrame]:
    for resolution in _PLACES:
        some = [marker for marker in markers if additions.resolution(marker) == resolution]
        for at in range(0, len(some), TICKS_IN_GROUP):
            group = {marker.tick: marker for marker in some[at : at + TICKS_IN_GROUP]}
            rows = await store.rows_between(series, list(group), resolution=resolution)
            whole = {tick: frame for tick, frame in rows.items() if len(frame) == group[tick].assets}
            for tick in rows.keys() - whole.keys():
                short(group[tick])
            if whole:
                yield await asyncio.to_thread(_with_ticks, series, whole)


def _with_ticks(series: Series, rows: Mapping[datetime, pl.DataFrame]) -> pl.DataFrame:
    ticks = [frame.select(pl.lit(tick, TIME).alias(tables.TICK), pl.all()) for tick, frame in rows.items()]
    return tables.in_order(series, pl.concat(ticks))


def _in_thread(loop: asyncio.AbstractEventLoop, frames: AsyncIterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames; the loop makes each when the reader asks for it."""

    async def following() -> pl.DataFrame | None:
        return await anext(frames, None)

    while (frame := asyncio.run_coroutine_threadsafe(following(), loop).result()) is not None:
        yield frame
