"""Service processes that are started together and end together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


class Stack:
    """Child processes, each of its own session, so that Ctrl-C reaches only us and we end them in order."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._starting = False
        self._interrupted = False

    def start(
        self, name: str, arguments: Sequence[str], environ: Mapping[str, str], *, log: Path | None = None,
        passing: bool = False,
    ) -> "subprocess.Popen[bytes]":  # fmt: skip
        """Run `python ARGUMENTS`; its output goes to `log`, or where ours goes. A `passing` one may end by itself."""
        out = log.open("ab") if log else None
        self._starting = True
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if passing else out,
            stderr=out,
            start_new_session=True,
        )
        self._children.append(_Child(name, process, passing))
        self._starting = False
        if self._interrupted:
            raise Interrupted
        return process

    def interrupt(self) -> None:
        """Leave by Interrupted: at once, but never between a child's start and our knowing of it."""
        self._interrupted = True
        if not self._starting:
            raise Interrupted

    def check(self) -> None:
        """Raise Ended when a process that should run has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None and not (child.passing and code == 0):
                raise Ended(f"{child.name} ended with exit code {code}")

    def wait(self, until: Callable[[], bool] = lambda: False) -> None:
        """Wait until `until()` holds; Ended when a process ends first."""
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

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop_listening()
        stack.interrupt()

    def stop_listening() -> None:
        """The second Ctrl-C of an impatient hand must not cut the ending. (Children would inherit SIG_IGN.)"""
        for number in asked:
            signal.signal(number, lambda number, frame: None)

    asked = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])]
    stack = Stack()
    for number in asked:
        signal.signal(number, interrupt)
    try:
        yield stack
    except Interrupted:
        pass
    finally:
        stop_listening()
        stack.end()
