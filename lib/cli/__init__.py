"""The `topcoins` command: thin calls. Answers go to stdout, everything else to stderr."""

import sys

import structlog

from lib.cli import archive, ask, doubtful, ids, operate, start, withdraw
from lib.cli.app import app
from lib.errors import TopcoinsError

__all__ = ["archive", "ask", "doubtful", "ids", "main", "operate", "start", "withdraw"]


def main() -> None:
    """The entry point. An error is one sentence on stderr and exit code 1."""
    from lib.cli.stack import Ended
    from lib.snapshot_file import DamagedFile

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for answers
    try:
        app()
    except (TopcoinsError, DamagedFile, Ended, ValueError, OSError) as exc:
        sys.exit(f"topcoins: {exc}")
