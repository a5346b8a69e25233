"""The `topcoins` command: thin calls. Answers go to stdout, everything else to stderr."""

import io
import os
import re
import sys
import traceback
from typing import Any

import typer

from lib.cli import archive, ask, doubtful, export, ids, mcp, operate, price, start, withdraw  # noqa: F401
from lib.cli.app import HELP, app
from lib.cli.exit_code import ExitCode, Refused, exit_code
from lib.errors import DamagedFile, SettingsRejected, TopcoinsError
from lib.invalid import why_invalid
from lib.lifeline import end_with_parent
from lib.redaction import Redaction, parts_like_keys
from lib.text import without_control

NO_LIBRARY = (
    "only commands that ask a running API run on every system: top, asset, history, movers, price, watch, mcp, and"
    " export as csv or ndjson"
)

UsageError: Any = typer.BadParameter.__base__
"""What Typer raises for a wrong command line; it exports only this child."""
_NO_KEY = re.compile(r"--?[a-z-]+$|\d{4}-\d\d-\d\d")
"""An option, or a time."""


def main() -> None:
    """The entry point. An error is one sentence on stderr and the exit code of its cause."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack the letters of a coin's name
    end_with_parent(os.environ)
    try:
        # Loading what logs takes longer than showing help.
        sys.exit(app(obj=None if {*HELP} & {*sys.argv} else _log_to_stderr, standalone_mode=False))
    except ImportError as exc:
        sys.exit(f"topcoins: {exc}; {NO_LIBRARY}")
    except typer.Abort:
        sys.exit("Aborted!")
    except UsageError as exc:
        if why := wrong_value(exc):
            print(f"topcoins: {_redacted(without_control(why), exc)}", file=sys.stderr)
            sys.exit(ExitCode.WRONG_USE)
        exc.message = _redacted(exc.message, exc)
        exc.show()
        sys.exit(ExitCode.WRONG_USE)
    except Exception as exc:
        if not isinstance(exc, TopcoinsError | DamagedFile | ValueError | OSError):  # their text is enough
            sys.exit(_redacted(traceback.format_exc(), exc))
        print(f"topcoins: {_redacted(without_control(in_words(exc)), exc)}", file=sys.stderr)
        sys.exit(exit_code(exc))


def wrong_value(exc: Any) -> str | None:
    """The option, its value and a valid one, for a value that Typer refuses in Pydantic's words."""
    from pydantic import ValidationError

    if not isinstance(exc.__cause__, ValidationError):
        return None
    error = exc.__cause__.errors()[0]
    limits, default = error.get("ctx", {}), exc.param.default
    is_set = getattr(exc.ctx.get_parameter_source(exc.param.name), "name", "") == "ENVIRONMENT"
    name = f"{exc.param.envvar}=" if is_set else f"{max(exc.param.opts, key=len)} "
    example = default if isinstance(default, int | float) else limits.get("ge", limits.get("le", 1))
    return f"{name}{error['input']}: {why_invalid(error)}; for example {name}{example}"


def _open_closed_streams() -> None:
    """Give the null device the place of a stream that the caller closed: the next file would get its number."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _log_to_stderr() -> None:
    """stdout is for answers."""
    import structlog

    from lib.log import hiding

    *first, renderer = structlog.get_config()["processors"]
    structlog.configure(
        processors=[*first, structlog.processors.format_exc_info, hiding(_redaction()), renderer],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _redacted(text: str, exc: Exception) -> str:
    """An error without what may be a misplaced key. An API names the parameter that it refuses, with its value."""
    is_from_api = isinstance(exc, Refused)
    given = [part for part in sys.argv[1:] if ("://" in part if is_from_api else not _NO_KEY.match(part))]
    return Redaction(parts_like_keys(given)).text(_redaction().text(text))


def _redaction() -> Redaction:
    """That of the settings, where they can be loaded."""
    from lib import settings

    try:
        return settings.load(os.environ).redaction
    except SettingsRejected:
        return Redaction(())


def in_words(exc: Exception) -> str:
    """The text of an error; that of the system without its number, after the file."""
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror
    return str(exc)
