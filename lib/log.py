"""Logs: events with fields, one per unit of work; pretty on a terminal, JSON otherwise; no secret in any.

Everything that logs through the standard library (uvicorn, APScheduler, httpx) comes out the same way.
"""

import logging
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from lib.clock import isoformat
from lib.errors import SettingsRejected
from lib.settings import Settings

HIDDEN = "***"
_LOUD = ("httpx", "httpcore", "apscheduler", "stamina", "asyncio", "aiohttp")
"""Libraries that tell every step at INFO, httpx with whole URLs: theirs start at WARNING."""


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
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)  # a skipped tick is told by lib.poll
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as exc:
        message = f"TOPCOINS_LOG_FILE (or log_file in the file): {str(path)!r}: {exc.strerror}"
        raise SettingsRejected(f"{message}; for example /var/log/topcoins.log") from exc


class Redaction:
    """A structlog processor that hides every secret, wherever in an event it stands."""

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        told = {secret.get_secret_value() for secret in secrets} - {""}
        self._secrets = sorted(told, key=len, reverse=True)  # one may begin with another

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
