"""Logs an outage of the store at its start and at its end, however many requests fail in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from lib.errors import TopcoinsError
from lib.store import Store

LOOK_S = 5.0
"""How often the store is asked whether it is back."""

log = structlog.get_logger()


@dataclass(slots=True)
class StoreOutage:
    """An outage begins with a request that the store fails. It ends when the store answers and no request failed."""

    store: Store
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    timer: Callable[[], float] = time.monotonic
    _requests: int = 0
    _kinds: set[type[TopcoinsError]] = field(default_factory=set)
    _waiting: asyncio.Task[None] | None = None

    def failed(self, exc: TopcoinsError) -> None:
        """Count a request that the store failed. The first one of each kind of error is logged."""
        self._requests += 1
        if type(exc) not in self._kinds:
            self._kinds.add(type(exc))
            log.error("store failed: requests get 503", why=str(exc), kind=type(exc).__name__)
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._wait(self.timer()))

    async def _wait(self, began: float) -> None:
        failed = 0
        while failed < self._requests or not await self._answers():
            failed = self._requests
            await self.sleep(LOOK_S)
        log.warning("store answers again", failed_requests=failed, after_s=round(self.timer() - began))
        self._requests, self._waiting = 0, None
        self._kinds.clear()

    async def _answers(self) -> bool:
        try:
            await self.store.ready()
        except TopcoinsError:
            return False
        return True
