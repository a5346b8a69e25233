"""How often a client may ask: bounded memory, one number per client."""

from collections.abc import Callable, MutableMapping

from cachetools import LRUCache

from lib.access import Rate

CLIENTS = 10_000
"""So many are remembered; one not heard of for longer than all these starts anew."""

Timer = Callable[[], float]
"""Seconds that never go back."""


class Rates:
    """Each client may use its period's requests at once, and then as many as the period gives back (GCRA)."""

    def __init__(self, rate: Rate, *, timer: Timer) -> None:
        self._period = rate.period.total_seconds()
        self._step = self._period / rate.requests
        self._timer = timer
        self._due: MutableMapping[str, float] = LRUCache(CLIENTS)

    def wait(self, client: str) -> float:
        """Seconds until this client may ask; 0, and one request used, when that is now."""
        now = self._timer()
        due = max(self._due.get(client, now), now) + self._step
        over = due - now - self._period
        if over > self._step * 1e-6:  # what float additions may be off
            return over
        self._due[client] = due
        return 0.0
