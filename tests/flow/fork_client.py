"""Takes the place of `topcoins` or `python`: asks a server to fork that process, and ends as that does.

Signals and open files are passed on. A program of its own, so that it loads little: a start takes 30 ms of CPU.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import FrameType

LENGTH = 8
"""The size of the first message, which is the length of the second."""
PASSED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def ask(connection: socket.socket, asked: Mapping[str, object], files: Sequence[int], numbers: Sequence[int]) -> None:
    """Ask the server for a process: its arguments, its environment, its folder, and its files with their numbers."""
    body = json.dumps({**asked, "files": [*numbers]}).encode()
    socket.send_fds(connection, [b"%*d" % (LENGTH, len(body))], files)
    connection.sendall(body)


def inherited() -> Iterator[int]:
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # that of the listing
            if os.get_inheritable(number):
                yield number


def run(address: str, arguments: list[str]) -> int:
    """Be a process of the server to its end; its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        asked = {"arguments": arguments, "environ": dict(os.environ), "folder": os.getcwd()}
        files = [*inherited()]
        ask(connection, asked, files, files)
        lines = connection.makefile()
        pid = int(next(lines))

        def pass_on(number: int, frame: FrameType | None) -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

        for number in PASSED:
            signal.signal(number, pass_on)
        return int(next(lines))


if __name__ == "__main__":
    folder, name = os.path.split(sys.argv[0])
    code = run(os.path.join(os.path.dirname(folder), "server"), [name, *sys.argv[1:]])
    if code < 0:
        for passed in PASSED:
            signal.signal(passed, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
