"""Which minutes are deleted. Deleting cannot be undone, so it never relies on the clock alone."""

from datetime import datetime, timedelta

import structlog

from lib.clock import HOUR_S, from_epoch
from lib.schema import Series
from lib.store.sqlite.database import Database
from lib.store.sqlite.markers import SEALED, TABLE
from lib.store.sqlite.rows import Rows, as_second

log = structlog.get_logger()

RETENTION = timedelta(days=30)
CONFIRMED_BY = 60
"""An instant is past only once so many ticks are stored after it. A clock that is wrong for an hour deletes nothing."""
LONGEST_HOLE = timedelta(days=1)
"""Time without ticks counts as no longer than this. A clock that is ahead for days makes ticks, and one long hole."""
MOST_DELETED = 30
"""Ticks deleted with one write at most: a backlog of a day takes 48 writes, in which somebody may notice."""

_VISIBLE = "ifnull({0}.stored_at, {0}.observed_at + {0}.duration)"
_CONFIRMED = f'SELECT tick FROM "{TABLE}" WHERE series = ? ORDER BY tick DESC LIMIT 1 OFFSET ?'
_UNSEEN = f"""SELECT tick, (SELECT max(tick) FROM "{TABLE}" WHERE series = late.series AND tick < late.tick)
  FROM "{TABLE}" late WHERE series = :series AND tick >= :done AND NOT EXISTS (
  SELECT 1 FROM "{TABLE}" WHERE series = late.series AND tick >= late.tick - :most AND tick < late.tick)"""
_NOT_FIRST_OF_HOUR = f"""SELECT tick FROM "{TABLE}" late WHERE series = ? AND tick >= ? AND tick < ? AND EXISTS (
  SELECT 1 FROM "{TABLE}" first WHERE first.series = late.series
  AND first.tick >= late.tick / {HOUR_S} * {HOUR_S} AND first.tick < late.tick
  AND {_VISIBLE.format("first")} <= {_VISIBLE.format("late")}) {{also}} ORDER BY tick LIMIT ?"""
_OLDEST_UNSEALED = f"""SELECT min(tick) FROM "{TABLE}"
  WHERE series = ? AND tick >= ? AND tick < ? AND {SEALED} IS NULL"""


class Retention:
    """Deletes old ticks, except those that were the first of their hour when they were stored.

    With `only_sealed` it deletes none that the archive has not.
    """

    def __init__(
        self, database: Database, rows: Rows, *, keep: timedelta, confirmed_by: int, only_sealed: bool = False
    ) -> None:
        self._database = database
        self._rows = rows
        self._keep = keep
        self._only_sealed = only_sealed
        self._old = _NOT_FIRST_OF_HOUR.format(also=f"AND late.{SEALED} = 1" if only_sealed else "")
        self._confirmed_by = confirmed_by
        self._done: dict[str, int] = {}
        self._unseen: dict[str, tuple[int, int]] = {}

    def apply(self, series: Series, now: datetime) -> None:
        """Delete a bounded number of old ticks, in the caller's transaction, and log them."""
        horizon = self._horizon(series, now)
        select = (series.name, self._done.get(series.name, 0), horizon, MOST_DELETED)
        ticks = [tick for (tick,) in self._database.execute(self._old, select)]
        if len(ticks) < MOST_DELETED:
            self._done[series.name] = self._done_until(select[:3]) // HOUR_S * HOUR_S
        if not ticks:
            return
        self._rows.delete(series, ticks)
        self._database.connection.executemany(
            f'DELETE FROM "{TABLE}" WHERE series = ? AND tick = ?', ((series.name, tick) for tick in ticks)
        )
        first, last = from_epoch(ticks[0]), from_epoch(ticks[-1])
        log.info(
            "old minutes deleted", series=series.name, ticks=len(ticks), first=first, last=last, keep=str(self._keep)
        )

    def _done_until(self, span: tuple[str, int, int]) -> int:
        """The instant before which nothing is left to delete: a tick that is not sealed may be sealed later."""
        oldest = self._database.execute(_OLDEST_UNSEALED, span).fetchone()[0] if self._only_sealed else None
        return span[2] if oldest is None else int(oldest)

    def _horizon(self, series: Series, now: datetime) -> int:
        """No later than the clock allows, and no later than the stored ticks confirm.

        Where the source gives no time of its own, a clock that is ahead goes unnoticed, and its ticks confirm each
        other. Then all that is older lies before a long hole, whose time does not count.
        """
        confirmed = self._database.execute(_CONFIRMED, (series.name, self._confirmed_by)).fetchone() or (0,)
        keep = int(self._keep.total_seconds())
        return min(as_second(now), confirmed[0]) - keep - self._unseen_until(series.name, confirmed[0])

    def _unseen_until(self, series: str, newest: int) -> int:
        """The seconds in holes that do not count. Hours are deleted whole, so it is read once an hour."""
        hour, seconds = self._unseen.get(series, (-1, 0))
        if hour != newest // HOUR_S:
            most = int(LONGEST_HOLE.total_seconds())
            span = {"series": series, "done": self._done.get(series, 0), "most": most}
            holes = [tick - before for tick, before in self._database.execute(_UNSEEN, span) if before is not None]
            seconds = sum(holes) - most * len(holes)
            self._unseen[series] = newest // HOUR_S, seconds
        return seconds
