"""Logs: events with fields, one per unit of work, pretty on a terminal and JSON otherwise. No secret is in any.

Libraries that log through the standard library (uvicorn, APScheduler, httpx) have the same form.
"""

import json
import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import structlog
from pydantic import SecretStr

from lib.clock import isoformat
from lib.errors import SettingsRejected
from lib.settings import Settings, shown

HIDDEN = "***"
_LOUD = ("httpx", "httpcore", "apscheduler", "stamina", "asyncio", "aiohttp")
"""Libraries that log every step at INFO, httpx with whole URLs. Theirs start at WARNING."""


def configure(settings: Settings) -> None:
    """Send this process's log where the settings say. Called once, by each `__main__`."""
    out = _opened(settings.log_file) if settings.log_file else sys.stdout
    pretty = settings.log_format == "console" or (settings.log_format == "auto" and out.isatty())
    redact = Redaction(settings.secrets)
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
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
    ending: list[Any] = [structlog.processors.format_exc_info, redact, renderer]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
    )
    handler = _Handler(out)
    handler.setFormatter(formatter)
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


class _Handler(logging.StreamHandler[TextIO]):
    """Reports an event that cannot be written without its content, which is not redacted yet."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """One line on stderr. The standard library's report would show the event and its traceback."""
        error = sys.exc_info()[1]
        why = error.strerror if isinstance(error, OSError) else ""
        if sys.stderr:
            with suppress(Exception):  # it may be closed too
                print(
                    f"log: an event of {record.name} cannot be written: {type(error).__name__} {why}", file=sys.stderr
                )


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as exc:
        message = f"TOPCOINS_LOG_FILE (or log_file in the file): {shown(str(path))!r}: {exc.strerror}"
        raise SettingsRejected(f"{message}; for example /var/log/topcoins.log") from exc


class Redaction:
    """A structlog processor that hides every secret, wherever in an event it is."""

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        plain = {secret.get_secret_value() for secret in secrets} - {""}
        forms = {form for text in plain for form in (text, repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, ""))}
        self._secrets = sorted(forms, key=len, reverse=True)  # one may begin with another

    def __call__(self, logger: object, method: str, event: Any) -> Any:
        """The event without secrets."""
        return self._hidden(dict(event))

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, dict):
            return {self._hidden(name): self._hidden(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._hidden(inner) for inner in value]
        text = isoformat(value) if isinstance(value, datetime) else str(value)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text
