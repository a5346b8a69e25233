"""Markers without their large columns. The parts that were read last are in memory, bounded in bytes."""

import asyncio
from collections.abc import Collection, Sequence

import polars as pl
from cachetools import LRUCache

from lib.archive import tables
from lib.archive.reader import ArchiveReader
from lib.archive.tables import TICK

LIGHT = ("series", "source", TICK, "interval_s", "backfilled", "observed_at", "duration_s", "stored_at")
"""The columns that are in memory."""
MOST_BYTES = 16 * 2**20
"""About two months of days of minutes, or a hundred sealed months."""
MOST_PARTS = 45
"""A question about more parts loads only the rows it asks for."""


class LightMarkers:
    """Reads markers of parts. A part is never rewritten, so a copy in memory stays valid."""

    def __init__(self, reader: ArchiveReader, most_bytes: int = MOST_BYTES) -> None:
        self._reader = reader
        self.parts: LRUCache[str, pl.DataFrame] = LRUCache(most_bytes, getsizeof=lambda part: part.estimated_size())
        self._lock = asyncio.Lock()

    async def read(self, names: Sequence[str], where: pl.Expr, select: Collection[str]) -> pl.DataFrame:
        """The rows of these parts, in their order."""
        if not {*select} <= {*LIGHT} or not 0 < len(names) <= MOST_PARTS:
            return await self._reader.read_parts(names, tables.MARKER_COLUMNS, where, select)
        parts = [self.parts.get(name) for name in names]
        if any(part is None for part in parts):
            async with self._lock:  # the other series' reader waits for the same parts
                parts = await asyncio.gather(*map(self._part, names))
        known = [part for part in parts if part is not None]
        return await asyncio.to_thread(lambda: pl.concat(known).lazy().filter(where).select(select).collect())

    async def _part(self, name: str) -> pl.DataFrame:
        if (known := self.parts.get(name)) is None:
            known = await self._reader.read_parts([name], tables.MARKER_COLUMNS, pl.lit(True), LIGHT)
            if known.estimated_size() <= self.parts.maxsize:
                self.parts[name] = known
        return known
