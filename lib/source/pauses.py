"""When a path of an upstream must not be asked, and what to report instead."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lib.clock import Clock, isoformat
from lib.errors import SourceRejected, SourceUnavailable

SourceError = SourceUnavailable | SourceRejected

FIRST_AWAY = timedelta(seconds=50)
"""A little less than a minute, so that a pause ends before the tick it is meant to end at."""
LONGEST_AWAY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which a path is not asked."""

    since: datetime
    until: datetime
    kind: type[SourceError]
    message: str


class Pauses:
    """The pauses of each path of an upstream."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[str, Pause] = {}
        self._away: dict[str, int] = {}

    def check(self, path: str) -> None:
        """Raise the error that began the path's pause, while it lasts."""
        if pause := self.lasting(path):
            raise pause.kind(pause.message)

    def lasting(self, path: str) -> Pause | None:
        """The path's pause, while it lasts. A clock that was set back must not make it longer."""
        pause = self._pauses.get(path)
        return pause if pause and pause.since <= self._clock() < pause.until else None

    def end(self, path: str) -> None:
        """Let the path be asked again."""
        self._pauses.pop(path, None)

    def renew(self, path: str) -> None:
        """Let the path's pause begin now; it ends when it did before."""
        if pause := self.lasting(path):
            self._pauses[path] = replace(pause, since=self._clock())

    def begin(self, path: str, until: datetime, kind: type[SourceError], message: str) -> SourceError:
        """Pause a path until then. Returns the error to raise."""
        message = f"{message}; not asked again before {isoformat(until.replace(microsecond=0))}"
        self._pauses[path] = Pause(self._clock(), until, kind, message)
        return kind(message)

    def away(self, path: str, message: str) -> SourceError:
        """The path's server is away: the next tick asks again, later ones after growing pauses."""
        before = self._away.get(path, 0)
        self._away[path] = before + 1
        if not before:
            return SourceUnavailable(message)
        wait = min(FIRST_AWAY * 2 ** min(before - 1, 10), LONGEST_AWAY)
        return self.begin(path, self._clock() + wait, SourceUnavailable, message)

    def answered(self, path: str) -> None:
        """The path gave a usable answer: pauses begin short again."""
        self._away.pop(path, None)
