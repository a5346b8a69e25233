"""A bound on log lines: at most ten of one kind each second, then a count of the others."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

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


class LineLimit(logging.Filter):
    """Passes `MOST` lines of a kind each second to a handler. A line after that second counts the others.

    A second begins with a line. Once a line was not logged it lasts until the counts are written.
    """

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
        self._lock = threading.Lock()
        self._began = timer()
        self._is_due = False
        self._lines: Counter[Kind] = Counter()
        self._titles: dict[Kind, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        kind, title = _kind(record)
        if self._timer() - self._began >= PERIOD_S * (3 if self._is_due else 1):
            self.flush()
        with self._lock:
            self._titles.setdefault(kind, title)
            self._lines[kind] += 1
            if self._lines[kind] <= MOST:
                return True
            was_due, self._is_due = self._is_due, True
        if not was_due:
            self._later(PERIOD_S, self.flush)
        return False

    def flush(self) -> None:
        """Write how many lines of each kind were not logged, and begin another second."""
        with self._lock:
            lines, titles, self._lines, self._titles = self._lines, self._titles, Counter(), {}
            self._began, self._is_due = self._timer(), False
        for (name, level, place), count in lines.items():
            if count > MOST:
                self._emit(logging.makeLogRecord({
                    "name": name, "levelno": level, "levelname": logging.getLevelName(level), "msg": COUNT,
                    "kind": titles[name, level, place], "lines": count - MOST,
                }))  # fmt: skip

    def _emit(self, record: logging.LogRecord) -> None:
        self._handler.acquire()
        try:
            self._handler.emit(record)
        finally:
            self._handler.release()


def _kind(record: logging.LogRecord) -> tuple[Kind, str]:
    """The kind of a line, and a text that names it."""
    if isinstance(record.msg, dict):  # structlog's
        event = str(record.msg.get("event"))
        return (record.name, record.levelno, event), event
    return (record.name, record.levelno, (record.pathname, record.lineno)), str(record.msg)[:200]
