"""What is fetched once a day and kept on disk: CoinMarketCap's map, a provider's contracts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from lib.clock import Clock
from lib.errors import TopcoinsError
from lib.ids.coin_map import CoinMap
from lib.ingest.ids.lists import ProviderAssets
from lib.ingest.state_file import read_state, save_state

log = structlog.get_logger()

AGAIN_AFTER = timedelta(minutes=10)
"""A fetch that failed is tried again so much later."""
CANNOT_READ = "a daily list can't be read"


T = TypeVar("T", bound=CoinMap | ProviderAssets)


class DailyCopy(Generic[T]):
    """A value that `fetch` gets once a day, from the one before it. While it can't be fetched the old one is used."""

    def __init__(
        self,
        kind: type[T],
        file: Path | None,
        *,
        clock: Clock,
        fetch: Callable[[T | None], Awaitable[T]],
    ) -> None:
        self._kind = kind
        self._file = file
        self._clock = clock
        self._fetch = fetch
        self._value: T | None = None
        self._again: datetime | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> T | None:
        """Today's value, or the newest one that could be had; None if there never was one."""
        async with self._lock:  # several providers use one map
            now = self._clock()
            today = now.astimezone(UTC).date()
            if not self._is_of(today):
                self._value = await asyncio.to_thread(read_state, self._kind, self._file, CANNOT_READ) or self._value
            if not self._is_of(today) and (self._again is None or now >= self._again):
                await self._refresh(now)
            return self._value

    def _is_of(self, today: date) -> bool:
        return self._value is not None and self._value.day >= today

    async def _refresh(self, now: datetime) -> None:
        try:
            self._value = await self._fetch(self._value)
        except TopcoinsError as exc:
            day = self._value.day if self._value else None
            log.warning("a daily list can't be fetched; the old one is used", why=str(exc), day=day)
            self._again = now + AGAIN_AFTER
            return
        self._again = None
        await asyncio.to_thread(save_state, self._file, self._value, "a daily list can't be written")
