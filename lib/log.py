"""Logs: events with fields, one per unit of work, pretty on a terminal and JSON otherwise. No secret is in any.

Libraries that log through the standard library (uvicorn, APScheduler, httpx) have the same form.
"""

import atexit
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

import structlog

from lib.errors import SettingsRejected
from lib.line_limit import LineLimit
from lib.redaction import Redaction, shown
from lib.settings import Settings

_LOUD = ("httpx", "httpcore", "apscheduler", "stamina", "asyncio", "aiohttp", "filelock")
"""Libraries that log every step at INFO, httpx with whole URLs. Theirs start at WARNING."""


def configure(settings: Settings) -> None:
    """Send this process's log where the settings say. Called once, by each `__main__`."""
    handler = _open(settings.log_file) if settings.log_file else _Handler(sys.stdout)
    terminal = handler.stream is not None and handler.stream.isatty()
    pretty = settings.log_format == "console" or (settings.log_format == "auto" and terminal)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # The renderer's own tracebacks come after redaction and show the values of variables: not for us.
    renderer: Any = structlog.processors.JSONRenderer()
    if pretty:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=plain)
    ending: list[Any] = [structlog.processors.format_exc_info, hiding(settings.redaction), renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler.setFormatter(formatter)
    limit = LineLimit(handler)
    handler.addFilter(limit)
    atexit.register(limit.flush)
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # lib.ingest.poll logs a skipped tick
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    if settings.ignored_variables:
        structlog.get_logger().warning("variables of a Kubernetes Service ignored", names=settings.ignored_variables)


def reopen() -> None:
    """Open a log file that was moved away again, as after SIGHUP. An event does so too."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _FileHandler):
            handler.reopen()


class _Reports(logging.Handler):
    """Reports an event that cannot be written without its content, which is not redacted yet."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """One line on stderr. The standard library's report would show the event and its traceback."""
        _report(record.name)

    def flush(self) -> None:
        """Write what is pending, unless the stream was closed by somebody else."""
        with suppress(ValueError):
            super().flush()


class _Handler(_Reports, logging.StreamHandler[Any]):
    """Writes to stdout."""


class _FileHandler(_Reports, WatchedFileHandler):
    """Writes to a file, and to a new one of its name after the file was moved away."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event."""
        try:
            super().emit(record)
        except OSError:  # the file cannot be opened again
            _report(record.name)

    def reopen(self) -> None:
        """Open the file again if it was moved away."""
        self.acquire()
        try:
            self.reopenIfNeeded()
        except OSError:
            _report(__name__)
        finally:
            self.release()


def _report(name: str) -> None:
    error = sys.exc_info()[1]
    why = error.strerror if isinstance(error, OSError) else ""
    if sys.stderr:
        with suppress(Exception):  # it may be closed too
            print(f"log: an event of {name} cannot be written: {type(error).__name__} {why}", file=sys.stderr)


def _open(path: Path) -> _FileHandler:
    try:
        return _FileHandler(path, encoding="utf-8")
    except OSError as exc:
        message = f"TOPCOINS_LOG_FILE (or log_file in the file): {shown(str(path))!r}: {exc.strerror}"
        raise SettingsRejected(f"{message}; for example /var/log/topcoins.log") from exc


def hiding(redaction: Redaction) -> Callable[[object, str, Any], Any]:
    """A structlog processor that hides every secret, wherever in an event it is."""
    return lambda logger, method, event: redaction.value(dict(event))
