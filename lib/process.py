"""How a service process begins: no arguments, its settings, its log, and no end at a harmless signal."""

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import structlog

from lib import log, settings
from lib.errors import SettingsRejected, TopcoinsError
from lib.lifeline import end_with_parent
from lib.redaction import shown
from lib.settings import Settings

_HARMLESS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR")
"""Signals that would end a process that does not expect them."""


def ignore_harmless_signals() -> None:
    """No longer end at a signal that asks for nothing. SIGHUP reopens the log once the service runs."""
    for name in _HARMLESS:
        if number := getattr(signal, name, None):  # not every system has all
            signal.signal(number, signal.SIG_IGN)


def stop_at_signals() -> asyncio.Event:
    """An event of the running loop, which SIGTERM and Ctrl-C set. SIGHUP opens the log file again."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    reopen_log_at_hangup(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def reopen_log_at_hangup(loop: asyncio.AbstractEventLoop) -> None:
    """Open the log file again at SIGHUP, as a log's rotation asks."""
    loop.add_signal_handler(signal.SIGHUP, log.reopen)


@contextmanager
def begin(service: str, arguments: Sequence[str]) -> Iterator[Settings]:
    """Open the log of a service and yield its settings. A refused setting ends the process with one line.

    So does any other error of ours.
    """
    _refuse_arguments(service, arguments)
    ignore_harmless_signals()
    chosen: Settings | None = None
    end_with_parent(os.environ)
    opened = False
    try:
        chosen = settings.load(os.environ, service)
        log.configure(chosen)
        opened = True
        yield chosen
    except TopcoinsError as exc:
        _end(service, exc, opened, chosen)
    except Exception:
        if chosen is None:
            raise
        sys.exit(chosen.redaction.text(traceback.format_exc()).rstrip())


def _refuse_arguments(service: str, arguments: Sequence[str]) -> None:
    """Print what the service is for `--help`, and end for any argument: nothing may start by mistake."""
    if not arguments:
        return
    usage = f"usage: python -m {service}\nIts settings are the variables TOPCOINS_…, which docs/operating.md lists."
    if arguments[0] in ("-h", "--help"):
        print(usage)
        sys.exit(0)
    print(f"{service}: takes no arguments, and got {shown(' '.join(arguments))}\n{usage}", file=sys.stderr)
    sys.exit(2)


def _end(service: str, exc: TopcoinsError, opened: bool, chosen: Settings | None) -> NoReturn:
    """End with the reason: a line of the log where JSON is configured, else a sentence on stderr."""
    format, file = settings.log_of(os.environ, service)
    why = chosen.redaction.text(str(exc)) if chosen else str(exc)
    if format == "json":
        if not opened:
            _open_log(file)
        event = "setting refused" if isinstance(exc, SettingsRejected) else "service ended by an error"
        structlog.get_logger(__name__).error(event, service=service, why=why)
    sys.exit(1 if format == "json" and not file else f"{service}: {why}")


def _open_log(file: str) -> None:
    try:
        log.configure(Settings(log_format="json", log_file=Path(file) if file else None))
    except SettingsRejected:  # the file may be what is wrong
        log.configure(Settings(log_format="json"))
