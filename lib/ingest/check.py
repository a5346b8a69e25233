"""Reads a provider's list only to compare it with what is stored: nothing of it is stored."""

from datetime import datetime, timedelta

import structlog

from lib.errors import TopcoinsError
from lib.ingest.tick import PART_FOR_FETCHING
from lib.source import Source

log = structlog.get_logger()


class Check:
    """A source of `TOPCOINS_CHECK_SOURCE`. Finding the ids of its list compares the list."""

    def __init__(self, source: Source, *, assets: int, interval: timedelta) -> None:
        self.name = f"check of {source.name}"
        """The name of its work."""
        self._source = source
        self._assets = assets
        self.interval = source.interval(interval)
        self._failed = 0

    async def tick(self, tick: datetime) -> None:
        """Read the list. An outage is logged when it starts and when it ends."""
        try:
            await self._source.read(self._assets, self.interval * PART_FOR_FETCHING)
        except TopcoinsError as exc:
            self._failed += 1
            write = log.warning if self._failed == 1 else log.debug
            write("a provider can't be compared", source=self._source.name, why=str(exc))
            return
        if self._failed:
            log.warning("a provider is compared again", source=self._source.name, failed=self._failed)
        self._failed = 0
