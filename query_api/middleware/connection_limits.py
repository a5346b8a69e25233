"""Open connections, bounded in all and per client, each with a limited time to send a request and to take its answer.

A connection without a request has `REQUEST_WITHIN` to send a whole one; one that takes less than `LEAST_TAKEN` of its
answer within `STALLED_FOR` is cut. At a bound the connection that waits longest for a request makes way for a new one,
so that connections which only stay open keep nobody out.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

import structlog

REQUEST_WITHIN = timedelta(seconds=10)
STALLED_FOR = timedelta(seconds=30)
LEAST_TAKEN = 32 * 2**10
LOG_EVERY = timedelta(minutes=1)

log = structlog.get_logger()


class Limited(Protocol):
    """A connection, as the limits see it."""

    client: str
    host: str

    @property
    def unwritten(self) -> int:
        """Bytes that the caller has not taken yet."""

    def cut(self) -> None:
        """Close at once."""

    def end_waiting(self) -> None:
        """The time to send a request is over."""


class ConnectionLimits:
    """All of a server's connections: at most `most`, and at most half of them of one client.

    A host for which `is_proxy` is true stands for many clients and has no bound of its own.
    """

    def __init__(
        self, most: int, *, timer: Callable[[], float], is_proxy: Callable[[str], bool] = lambda host: False
    ) -> None:
        self._most = most
        self._per_client = (most + 1) // 2
        self._timer = timer
        self._is_proxy = is_proxy
        self._open: dict[str, dict[Limited, None]] = {}
        self._count = 0
        self._waiting: dict[Limited, float] = {}
        self._stalled: dict[Limited, tuple[float, int]] = {}
        self._refused = self._cut = 0
        self._logged = float("-inf")

    def __len__(self) -> int:
        return self._count

    def admit(self, connection: Limited) -> bool:
        """Take a connection in, if need be in the place of one that waits; False when none waits."""
        own = self._open.get(connection.client, {})
        if len(own) >= self._per_client and not self._is_proxy(connection.host):
            placed = self._replace(one for one in own if one in self._waiting)
        else:
            placed = self._count < self._most or self._replace(iter(self._waiting))
        if not placed:
            self._refused += 1
            return False
        self._open.setdefault(connection.client, {})[connection] = None
        self._count += 1
        self.waits(connection)
        return True

    def _replace(self, candidates: Iterator[Limited]) -> bool:
        first = next(candidates, None)
        if first is None:
            return False
        self._cut += 1
        self.forget(first)
        first.cut()
        return True

    def waits(self, connection: Limited) -> None:
        """It may send its next request from now on."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = self._timer()

    def works(self, connection: Limited) -> None:
        """Its request has arrived."""
        self._waiting.pop(connection, None)

    def stalls(self, connection: Limited) -> None:
        """It does not take what is written."""
        self._stalled[connection] = (self._timer(), connection.unwritten)

    def flows(self, connection: Limited) -> None:
        """It takes what is written again."""
        self._stalled.pop(connection, None)

    def forget(self, connection: Limited) -> None:
        """It is closed."""
        own = self._open.get(connection.client, {})
        if connection in own:
            del own[connection]
            self._count -= 1
            if not own:
                del self._open[connection.client]
        self._waiting.pop(connection, None)
        self._stalled.pop(connection, None)

    def sweep(self) -> None:
        """Close the connections whose time is over."""
        now = self._timer()
        slow, stalled = now - REQUEST_WITHIN.total_seconds(), now - STALLED_FOR.total_seconds()
        for connection in [one for one, since in self._waiting.items() if since <= slow and one not in self._stalled]:
            self.works(connection)
            connection.end_waiting()
        for connection, (since, unwritten) in list(self._stalled.items()):
            if since > stalled:
                continue
            if unwritten - connection.unwritten < LEAST_TAKEN:
                self.forget(connection)
                connection.cut()
            else:
                self.stalls(connection)
        self._log(now)

    def _log(self, now: float) -> None:
        """Report what the bounds cost, at most once a minute."""
        if (self._refused or self._cut) and now - self._logged >= LOG_EVERY.total_seconds():
            log.warning(
                "connections at their bound", refused=self._refused, cut=self._cut, open=self._count, most=self._most,
                per_client=self._per_client, clients=len(self._open),
            )  # fmt: skip
            self._logged = now
            self._refused = self._cut = 0
