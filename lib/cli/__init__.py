"""The `topcoins` command: thin calls. Answers go to stdout, everything else to stderr."""

import sys

from lib.cli import ask, doubtful, operate, start
from lib.cli.app import app
from lib.errors import TopcoinsError

__all__ = ["ask", "doubtful", "main", "operate", "start"]


def main() -> None:
    """The entry point. An error is one sentence on stderr and exit code 1."""
    from lib.cli.stack import Ended
    from lib.snapshot_file import DamagedFile

    try:
        app()
    except (TopcoinsError, DamagedFile, Ended, ValueError, OSError) as exc:
        sys.exit(f"topcoins: {exc}")
