"""Parts whose footers are in memory. To read a footer takes as long as to read a tick's rows."""

import time
from collections.abc import Callable, Hashable, Mapping
from datetime import timedelta
from threading import Lock
from typing import Any

import polars as pl
from cachetools import TTLCache

MOST_PARTS = 64
"""A footer of a day of 5,000 assets takes about half a megabyte."""
FOOTERS_FOR = timedelta(minutes=1)
"""So long a part's footer is in memory. A part is written once, unless it is mended."""


class OpenParts:
    """Opens parts, each once for a while."""

    def __init__(
        self,
        open_part: Callable[..., pl.LazyFrame] = pl.scan_parquet,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = open_part
        self._parts: TTLCache[Hashable, pl.LazyFrame] = TTLCache(MOST_PARTS, FOOTERS_FOR.total_seconds(), timer)
        self._lock = Lock()

    def scan(self, key: Hashable, address: str, columns: Mapping[str, Any], **options: Any) -> pl.LazyFrame:
        """A lazy frame over a part with these columns; one that it lacks is null. `key` changes with the content."""
        with self._lock:
            part = self._parts.get(key)
        if part is None:
            part = self._open(address, hive_partitioning=False, **options)
            part.collect_schema()  # the frame then has the footer
            with self._lock:
                self._parts[key] = part
        known = part.collect_schema()
        return part.select(
            pl.col(name) if name in known else pl.lit(None, columns[name]).alias(name) for name in columns
        )
