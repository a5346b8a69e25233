"""The rate limit: one number per client, in bounded memory."""

from collections.abc import Callable, MutableMapping

from cachetools import LRUCache

from lib.access import Rate

CLIENTS = 10_000
"""Clients in memory. One that asked longer ago than all of these starts anew."""

Timer = Callable[[], float]
"""Seconds that are never set forward or back."""


class Rates:
    """A client may use all requests of a period at once; they come back evenly over the period (GCRA)."""

    def __init__(self, rate: Rate, *, timer: Timer) -> None:
        self._period = rate.period.total_seconds()
        self._step = self._period / rate.requests
        self._timer = timer
        self._due: MutableMapping[str, float] = LRUCache(CLIENTS)

    def wait(self, client: str) -> float:
        """Return the seconds until this client may ask. 0 means now, and uses up one request."""
        now = self._timer()
        due = max(self._due.get(client, now), now) + self._step
        over = due - now - self._period
        if over > self._step * 1e-6:  # more than the rounding error of the additions
            return over
        self._due[client] = due
        return 0.0
