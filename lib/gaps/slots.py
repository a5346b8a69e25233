"""Which slots of a series were due and have no snapshot, from the ticks that are stored and those that were missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from lib.clock import HOUR, SECOND, slot
from lib.ingest.missed import UNKNOWN, MissedTick
from lib.snapshot import StoredTick

WITHDRAWN = "stored, and withdrawn by an operator"


class Attempt(NamedTuple):
    """A tick that was tried, and the interval in force then; `live` unless it was bought or imported later."""

    tick: datetime
    interval: timedelta
    live: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a series around a window: `before` is the newest attempt before it, None before all data."""

    before: Attempt | None
    stored: Sequence[StoredTick]
    missed: Sequence[MissedTick] = ()

    def by_hours(self) -> "Evidence":
        """The same at a resolution of one tick an hour."""
        before = self.before and self.before._replace(interval=max(self.before.interval, HOUR))
        stored = [tick._replace(interval=max(tick.interval, HOUR)) for tick in self.stored]
        return Evidence(before, stored, [replace(m, interval=max(m.interval or HOUR, HOUR)) for m in self.missed])


def missing_between(
    evidence: Evidence, start: datetime, stop: datetime, now: datetime
) -> dict[datetime, MissedTick | None]:
    """The missing slots in order, each with what was recorded of it."""
    slots = _Slots(start, now, evidence.before)
    events: list[StoredTick | MissedTick] = [*evidence.stored, *evidence.missed]
    for event in sorted(events, key=attrgetter("tick")):
        if isinstance(event, MissedTick):
            slots.add_missed(event)
        else:
            slots.add_stored(event)
    slots.end(stop)
    return {at: slots.missing[at] for at in sorted(slots.missing.keys() - slots.taken) if start <= at <= stop}


@dataclass(slots=True)
class _Slots:
    """Collects the slots that were due, and those a stored tick takes, from events in the order of their ticks."""

    start: datetime
    now: datetime
    last: Attempt | None
    due: datetime | None = None
    """The slot after that of the last attempt."""
    missing: dict[datetime, MissedTick | None] = field(default_factory=dict)
    taken: set[datetime] = field(default_factory=set)

    def add_stored(self, tick: StoredTick) -> None:
        """A stored tick takes its slot. After a live one, what was bought or imported does not change the interval."""
        if self._is_due(tick):
            self.taken.add(tick.tick)
            self.last, self.due = Attempt(tick.tick, tick.interval, not tick.backfilled), tick.tick + tick.interval
            return
        if tick.withdrawn:
            if not tick.backfilled:
                self.add_missed(MissedTick(tick.tick, "withdrawn", WITHDRAWN, tick.interval))
            return
        if self.last:
            self.taken.add(slot(tick.tick, self.last.interval))
        if self.last is None or not self.last.live or not tick.backfilled:
            self.taken.add(slot(tick.tick, tick.interval))
            self._follow(Attempt(tick.tick, tick.interval, not tick.backfilled))

    def add_missed(self, miss: MissedTick) -> None:
        """A recorded miss is a missing slot once it is past; before the first snapshot at once."""
        interval = miss.interval or (self.last.interval if self.last else SECOND)
        own = slot(miss.tick, interval)
        is_past = self.last is None or own + interval <= self.now
        # A clock set forward looks like no process, so that cause replaces no other one.
        if is_past and (miss.cause != UNKNOWN or not self.missing.get(own)):
            self.missing[own] = miss
        if self.last:
            self._follow(Attempt(miss.tick, interval))

    def end(self, stop: datetime) -> None:
        """After the last event, slots up to `stop` are due once one interval is past."""
        if self.last:
            self._skip(self.last, min(stop, self.now - self.last.interval) + timedelta.resolution)

    def _is_due(self, tick: StoredTick) -> bool:
        """Whether a tick like the last one is exactly in the next slot. Almost all are: they need no arithmetic."""
        return (
            tick.tick == self.due
            and self.last is not None
            and tick.interval == self.last.interval
            and tick.backfilled != self.last.live
            and not tick.withdrawn
        )

    def _follow(self, attempt: Attempt) -> None:
        """The slots since the last attempt were due, unless this attempt is the next one at its own interval."""
        if self.last and attempt.tick != slot(self.last.tick, attempt.interval) + attempt.interval:
            self._skip(self.last, attempt.tick)
        self.last, self.due = attempt, slot(attempt.tick, attempt.interval) + attempt.interval

    def _skip(self, last: Attempt, until: datetime) -> None:
        for at in _slots_between(last.interval, max(last.tick, self.start - timedelta.resolution), until):
            self.missing.setdefault(at, None)


def _slots_between(interval: timedelta, after: datetime, until: datetime) -> Iterator[datetime]:
    at = slot(after, interval) + interval
    while at < until:
        yield at
        at += interval
