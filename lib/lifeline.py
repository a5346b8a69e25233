"""A pipe by which processes notice that the one which started them has ended, even if it was killed."""

import os
import signal
import threading
from collections.abc import MutableMapping
from contextlib import suppress

LIFELINE = "TOPCOINS_LIFELINE"
"""The variable with the end of the pipe that a child reads."""


class Lifeline:
    """The pipe, in the process that starts others. Its writing end closes however this process ends."""

    def __init__(self) -> None:
        self.inherited, self._own = os.pipe()

    @property
    def environ(self) -> dict[str, str]:
        """What a child's environment needs. The child must also inherit the descriptor `inherited`."""
        return {LIFELINE: str(self.inherited)}

    def close(self) -> None:
        """Close both ends: children that still run end."""
        os.close(self.inherited)
        os.close(self._own)


def end_with_parent(environ: MutableMapping[str, str]) -> None:
    """In a child: end as by SIGTERM when its parent has ended. Without a lifeline, nothing."""
    end = environ.pop(LIFELINE, "")  # a child of ours gets a lifeline of ours
    if end.isdecimal():
        threading.Thread(target=_end_at_close, args=(int(end),), daemon=True, name="lifeline").start()


def _end_at_close(end: int) -> None:
    with suppress(OSError):  # the variable came without the pipe
        os.read(end, 1)
        os.kill(os.getpid(), signal.SIGTERM)
