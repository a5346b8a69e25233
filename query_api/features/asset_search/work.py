"""An index of every asset the archive ever had, in memory, updated from the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

import polars as pl

from lib.clock import EPOCH, MINUTE
from lib.schema import ID, PRICE
from lib.snapshot import unpack_ids
from lib.store import Store
from lib.text import search_key

OVERLAP = timedelta(hours=2)
"""How far back a refresh reads again: `last` is exact to the hour, and a snapshot may be stored late."""

Name = tuple[str | None, str | None]
"""Ticker and name."""


@dataclass(slots=True)
class Entry:
    """An asset: each of its names with the first and last instant, the newest name last; and whether it is listed."""

    cmc_id: int
    names: Sequence[tuple[Name, datetime, datetime]]
    listed: bool = False
    tickers: Sequence[str] = field(init=False)
    titles: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        newest_first = self.names[::-1]
        self.tickers = [search_key(symbol or "") for (symbol, _), _, _ in newest_first]
        self.titles = [search_key(name or "") for (_, name), _, _ in newest_first]

    def place(self, key: str) -> int | None:
        """How well a search fits, 0 is best: id, ticker, an earlier ticker, the begin of one or of a name, a part."""
        fits = (
            key == str(self.cmc_id),
            key == self.tickers[0],
            key in self.tickers,
            any(text.startswith(key) for text in self.tickers),
            any(text.startswith(key) for text in self.titles),
            any(key in text for text in (*self.tickers, *self.titles)),
        )
        return next((place for place, fit in enumerate(fits) if fit), None)


class AssetIndex:
    """Searches the assets of one store. It is read anew at most once a minute, and then only what is new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[int, Name], tuple[datetime, datetime]] = {}
        self._entries: Sequence[Entry] = []
        self._read_at: datetime | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Whether a search may be answered without asking the store."""
        return self._read_at is not None and now - self._read_at < MINUTE

    async def refresh(self, now: datetime) -> None:
        """Read the names that are new since the last time, and which assets are listed."""
        frame = await self._store.asset_names(self._read_at - OVERLAP if self._read_at else EPOCH)
        newest = await self._store.nearest(PRICE.name, now)
        listed = set(unpack_ids(newest.ids).tolist()) if newest else set()
        self._add(frame)
        by_id = groupby(
            sorted(self._names.items(), key=lambda item: (item[0][0], item[1][1])), key=lambda item: item[0][0]
        )
        self._entries = [
            Entry(cmc_id, [(name, *times) for (_, name), times in items], cmc_id in listed) for cmc_id, items in by_id
        ]
        self._read_at = now

    def _add(self, frame: pl.DataFrame) -> None:
        for cmc_id, symbol, name, first, last in frame.select(ID, "symbol", "name", "first", "last").iter_rows():
            key = cmc_id, (symbol, name)
            known = self._names.get(key, (first, last))
            self._names[key] = min(first, known[0]), max(last, known[1])

    def search(self, text: str) -> list[Entry]:
        """The assets that fit, the best first; of equals those that are listed, then those of the smaller ids."""
        key = search_key(text)
        matches = [(place, entry) for entry in self._entries if key and (place := entry.place(key)) is not None]
        return [
            entry for _, entry in sorted(matches, key=lambda match: (match[0], not match[1].listed, match[1].cmc_id))
        ]
