"""Why an instant has no answer."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Optional

from lib.clock import EPOCH, HOUR, isoformat
from lib.errors import TopcoinsError
from lib.units import format_duration
from query_api.asof.pair import Pair

HOURLY_AGE = HOUR
"""The least age that is allowed where only hourly snapshots are left: with less, most instants would have no answer."""


class NoSnapshot(TopcoinsError):
    """There is no pair for the instant `at`.

    Has the nearest pair before and the first instant with both series, where they exist. `known_at` is the instant
    asked for, or else one that gives the same answer again. `known_since` is the last withdrawal that made the gap.
    """

    def __init__(
        self,
        message: str,
        *,
        at: datetime,
        known_at: datetime,
        known_since: datetime = EPOCH,
        absence: Optional["Absence"] = None,
    ) -> None:
        super().__init__(message)
        self.at = at
        self.known_at = known_at
        self.known_since = known_since
        self.absence = absence

    @property
    def first(self) -> datetime | None:
        """The first instant with both series."""
        return self.absence.first if self.absence else None

    @property
    def before(self) -> Pair | None:
        """The nearest pair before."""
        return self.absence.before if self.absence and self.at >= self.absence.first else None


@dataclass(frozen=True, slots=True)
class Absence:
    """The facts that leave an instant without an answer: the first instant with both series, and the pair before it.

    `asked_for` says whether the caller chose `max_age`.
    """

    first: datetime
    before: Pair | None
    max_age: timedelta
    asked_for: bool
    known_at: datetime

    def explain(self, at: datetime) -> NoSnapshot:
        """The error of an instant that these facts leave without an answer."""
        return NoSnapshot(self._why(at), at=at, known_at=self.known_at, absence=self)

    def covers(self, earlier: datetime) -> bool:
        """Whether it is certain that an earlier instant has no answer either, by the same facts."""
        if earlier < self.first or self.before is None:
            return True
        return earlier - min(self.before.price.tick, self.before.rank.tick) > max(self.max_age, HOURLY_AGE)

    def _why(self, at: datetime) -> str:
        if at < self.first:
            return f"{isoformat(at)} is before the first snapshot, of {isoformat(self.first)}"
        if self.before is None:
            return f"no snapshot for {isoformat(at)}: no price tick has a rank tick within the skew"
        age = format_duration(at - min(self.before.price.tick, self.before.rank.tick))
        allowed = f"{format_duration(self.max_age)} {'asked for' if self.asked_for else 'that its interval allows'}"
        return (
            f"no snapshot for {isoformat(at)}: the nearest pair before is {age} old, older than the"
            f" {allowed}; the time between is a gap, or nothing came since"
        )
