"""The `topcoins` command: thin calls. Answers go to stdout, everything else to stderr."""

import io
import sys

from lib.cli import archive, ask, doubtful, export, ids, mcp, operate, price, start, withdraw
from lib.cli.app import app
from lib.cli.exit_code import exit_code
from lib.errors import DamagedFile, TopcoinsError
from lib.text import without_control

NO_LIBRARY = (
    "only commands that ask a running API run on every system: top, asset, history, movers, price, watch, mcp, and"
    " export as csv or ndjson"
)

__all__ = ["archive", "ask", "doubtful", "export", "ids", "main", "mcp", "operate", "price", "start", "withdraw"]


def main() -> None:
    """The entry point. An error is one sentence on stderr and the exit code of its cause."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may lack the letters of a coin's name
    try:
        app(obj=_log_to_stderr)
    except ImportError as exc:
        sys.exit(f"topcoins: {exc}; {NO_LIBRARY}")
    except Exception as exc:
        if not _is_explained(exc):
            raise
        print(f"topcoins: {without_control(str(exc))}", file=sys.stderr)
        sys.exit(exit_code(exc))


def _log_to_stderr() -> None:
    """stdout is for answers."""
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _is_explained(exc: Exception) -> bool:
    """Whether the text of an error is enough."""
    from lib.cli.stack import Ended

    return isinstance(exc, TopcoinsError | DamagedFile | Ended | ValueError | OSError)
