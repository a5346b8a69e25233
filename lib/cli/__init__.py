"""The `topcoins` command: each command a thin call. Answers go to stdout, everything else to stderr."""

import sys

from lib.cli import ask, operate, start
from lib.cli.app import app
from lib.errors import TopcoinsError

__all__ = ["ask", "main", "operate", "start"]


def main() -> None:
    """The command's entry: what goes wrong is one sentence on stderr and exit code 1."""
    from lib.cli.stack import Ended
    from lib.snapshot_file import DamagedFile

    try:
        app()
    except (TopcoinsError, DamagedFile, Ended, ValueError) as exc:
        sys.exit(f"topcoins: {exc}")
