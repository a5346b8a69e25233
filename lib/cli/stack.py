"""Service processes that start together and end together."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lib.errors import TopcoinsError
from lib.lifeline import Lifeline
from lib.process import ignore_harmless_signals

GRACE_S = 15.0
LOOK_S = 0.1


class Interrupted(Exception):
    """Ctrl-C, SIGTERM or a closed terminal ended the command."""


class Ended(TopcoinsError):
    """A process that should keep running has ended."""


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: "subprocess.Popen[bytes]"
    passing: bool
    log: Path | None

    def last_words(self) -> str:
        """The last line of its log, which usually says why it ended. The log may be deleted with the data."""
        lines = self.log.read_text("utf-8", "replace").split("\n") if self.log else []
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f"; its log ends: {last[:500]}" if last else ""


class Stack:
    """Child processes. Each has its own session, so that Ctrl-C reaches only this process, which ends them in order.

    If this process is killed they end by themselves. Their output goes to files in `logs`, or to our own stdout.
    """

    def __init__(self, logs: Path | None = None) -> None:
        self._logs = logs
        self._children: list[_Child] = []
        self._lifeline = Lifeline()
        self._interrupted = False

    def start(
        self, name: str, arguments: Sequence[str], environ: Mapping[str, str], *, passing: bool = False
    ) -> "subprocess.Popen[bytes]":
        """Run `python ARGUMENTS`. A `passing` process may end by itself; its stdout is a pipe."""
        log = self._logs / f"{name}.log" if self._logs else None
        with log.open("ab") if log else nullcontext() as out:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**environ, **self._lifeline.environ},
                pass_fds=(self._lifeline.inherited,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if passing else out,
                stderr=out,
                start_new_session=True,
            )
        self._children.append(_Child(name, process, passing, log))
        return process

    def interrupt(self) -> None:
        """Make the current or the next `wait` raise Interrupted."""
        self._interrupted = True

    def check(self) -> None:
        """Raise Interrupted after `interrupt`, and Ended when a process has ended that should run."""
        if self._interrupted:
            raise Interrupted
        for child in self._children:
            code = child.process.poll()
            if code is not None and not (child.passing and code == 0):
                raise Ended(f"{child.name} ended with exit code {code}{child.last_words()}")

    def wait(self, until: Callable[[], bool] = lambda: False, *, look_s: float = LOOK_S) -> None:
        """Wait until `until()` is true, looking every `look_s`; raises Interrupted or Ended."""
        while not until():
            self.check()
            time.sleep(look_s)

    def end(self) -> None:
        """End all processes, the last started first: SIGTERM, then SIGKILL after a grace period."""
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
        self._lifeline.close()


def _ending_signals() -> list[int]:
    """Those of Ctrl-C, Ctrl-\\, `kill` and a closed terminal. Under `nohup` the last one does not end the command."""
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP")]
    return [number for number in numbers if number and signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def running(logs: Path | None = None) -> Iterator[Stack]:
    """A stack whose processes end with the block, whatever happens. Interrupted leaves the block without an error."""
    stack = Stack(logs)

    def interrupt(number: int, frame: FrameType | None) -> None:
        stack.interrupt()  # raising here could lose a child that has just started

    ending = _ending_signals()
    ignore_harmless_signals()
    for number in ending:
        signal.signal(number, interrupt)
    try:
        yield stack
    except Interrupted:
        pass
    finally:
        stack.end()
