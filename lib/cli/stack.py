"""Service processes that are started together and end together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

GRACE_S = 15.0
LOOK_S = 0.1


class Interrupted(Exception):
    """Somebody asked the command to end: Ctrl-C, SIGTERM or a closed terminal."""


class Ended(Exception):
    """A process that should run on has ended."""


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: "subprocess.Popen[bytes]"
    passing: bool
    log: Path | None

    def last_words(self) -> str:
        """The end of its log: as a rule, why it ended. The log may go with the data."""
        lines = self.log.read_text("utf-8", "replace").split("\n") if self.log else []
        said = next((line for line in reversed(lines) if line.strip()), "")
        return f"; its log ends: {said[:500]}" if said else ""


class Stack:
    """Child processes, each of its own session, so that Ctrl-C reaches only us and we end them in order."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._interrupted = False

    def start(
        self, name: str, arguments: Sequence[str], environ: Mapping[str, str], *, log: Path | None = None,
        passing: bool = False,
    ) -> "subprocess.Popen[bytes]":  # fmt: skip
        """Run `python ARGUMENTS`; its output goes to `log`, or where ours goes. A `passing` one may end by itself."""
        with log.open("ab") if log else nullcontext() as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if passing else out,
                stderr=out,
                start_new_session=True,
            )
        self._children.append(_Child(name, process, passing, log))
        return process

    def interrupt(self) -> None:
        """Make the present wait, or the next, end by Interrupted."""
        self._interrupted = True

    def check(self) -> None:
        """Raise Interrupted when asked to end, Ended when a process that should run has ended."""
        if self._interrupted:
            raise Interrupted
        for child in self._children:
            code = child.process.poll()
            if code is not None and not (child.passing and code == 0):
                raise Ended(f"{child.name} ended with exit code {code}{child.last_words()}")

    def wait(self, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until `until()` holds; Interrupted or Ended when that comes first."""
        while not until():
            self.check()
            time.sleep(LOOK_S)

    def end(self) -> None:
        """End all, the last started first: SIGTERM, and SIGKILL for those that do not end in time."""
        running = [child.process for child in reversed(self._children) if child.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running() -> Iterator[Stack]:
    """A stack that ends whatever happens; asked to end, the block leaves quietly."""
    stack = Stack()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stack.interrupt()  # raising from here could lose a child just started, or get lost in a finalizer

    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])):
        signal.signal(number, interrupt)
    try:
        yield stack
    except Interrupted:
        pass
    finally:
        stack.end()
