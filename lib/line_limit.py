"""A bound on log lines: at most ten of one kind each second, then a count of the others."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

MOST = 10
PERIOD_S = 1.0
COUNT = "more lines of one kind were not logged"

Kind = tuple[str, int, object]
"""The logger, the level, and the event; for another library's line, the place in its code that logs it."""

Later = Callable[[float, Callable[[], None]], None]
"""Calls a function after some seconds, in any thread."""


def call_later(seconds: float, work: Callable[[], None]) -> None:
    """See `Later`. The thread does not prevent the process from ending."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    with suppress(RuntimeError):  # no thread can be started: the next line of the kind reports the count
        timer.start()


@dataclass(slots=True)
class _Period:
    began: float
    title: str
    lines: int = 0
    dropped: int = 0


class LineLimit(logging.Filter):
    """Passes `MOST` lines of a kind each second to a handler. A line after that second counts the others."""

    def __init__(
        self,
        handler: logging.Handler,
        *,
        timer: Callable[[], float] = time.monotonic,
        later: Later = call_later,
    ) -> None:
        super().__init__()
        self._handler = handler
        self._timer = timer
        self._later = later
        self._periods: dict[Kind, _Period] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        kind, title = _kind(record)
        now = self._timer()
        if (late := self._periods.get(kind)) and now - late.began > 3 * PERIOD_S:
            self._report(kind)
        with self._lock:
            period = self._periods.get(kind)
            if period is None or (not period.dropped and now - period.began >= PERIOD_S):
                self._forget_old(now)
                period = self._periods[kind] = _Period(now, title)
            period.lines += 1
            if period.lines <= MOST:
                return True
            period.dropped += 1
            first = period.dropped == 1
        if first:
            self._later(PERIOD_S, lambda: self._report(kind))
        return False

    def flush(self) -> None:
        """Write the counts that are due later."""
        for kind in list(self._periods):
            self._report(kind)

    def _report(self, kind: Kind) -> None:
        with self._lock:
            period = self._periods.pop(kind, None)
        if period and period.dropped:
            name, level, _ = kind
            self._emit(logging.makeLogRecord({
                "name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": COUNT,
                "kind": period.title, "lines": period.dropped,
            }))  # fmt: skip

    def _emit(self, record: logging.LogRecord) -> None:
        self._handler.acquire()
        try:
            self._handler.emit(record)
        finally:
            self._handler.release()

    def _forget_old(self, now: float) -> None:
        self._periods = {
            kind: period for kind, period in self._periods.items() if period.dropped or now - period.began < PERIOD_S
        }


def _kind(record: logging.LogRecord) -> tuple[Kind, str]:
    """The kind of a line, and a text that names it."""
    if isinstance(record.msg, dict):  # structlog's
        event = str(record.msg.get("event"))
        return (record.name, record.levelno, event), event
    return (record.name, record.levelno, (record.pathname, record.lineno)), str(record.msg)[:200]
