"""Ticks that fail in a row: logged when they begin, when another kind of failure joins them, and when they end."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from lib.errors import ClockDisagrees, SnapshotDoubtful, SourceUnavailable, TopcoinsError
from lib.schema import Series

log = structlog.get_logger()


class Outage:
    """The failed ticks of a series since its last good one."""

    def __init__(self, series: Series) -> None:
        self._series = series.name
        self._ticks = 0
        self._logged: set[type[TopcoinsError]] = set()

    def failed(self, tick: datetime, error: TopcoinsError) -> None:
        """Count a failure. The first of each kind is an error in the log."""
        self._ticks += 1
        write = log.debug if type(error) in self._logged else log.error
        self._logged.add(type(error))
        write("tick failed", series=self._series, tick=tick, why=str(error), kind=type(error).__name__)

    def ended(self, tick: datetime) -> bool:
        """A tick succeeded. Returns whether that ends an outage."""
        if not self._ticks:
            return False
        log.warning("ticks succeed again", series=self._series, tick=tick, failed=self._ticks)
        self._ticks = 0
        self._logged.clear()
        return True


def combined(failures: Sequence[TopcoinsError]) -> TopcoinsError:
    """One error for all, of which there is at least one. It is of their common kind.

    Of several kinds, a wrong clock or a doubtful list comes first: the kind decides the cause of the gap, and these two
    need an operator; a source that is away does not.
    """
    if len(failures) == 1:
        return failures[0]
    messages = "; then ".join(str(failure) for failure in failures)
    kinds = {type(failure) for failure in failures}
    weighty = [kind for kind in (ClockDisagrees, SnapshotDoubtful) if kind in kinds]
    kind = kinds.pop() if len(kinds) == 1 else next(iter(weighty), SourceUnavailable)
    error = kind(f"every source failed: {messages}")
    if isinstance(error, ClockDisagrees):
        error.theirs = next((each.theirs for each in failures if isinstance(each, ClockDisagrees)), None)
    return error
