"""Processes of topcoins that are forked from a server with all modules loaded: a start costs a tenth of the CPU.

Each connection asks for a process with its arguments, an environment, a folder and open files. It gets the number of
the process, and when that has ended its exit code. When the connection ends first, the process is killed.

A process that starts others by `sys.executable`, as `topcoins demo` does, has `fork_client.py` start them in the same
way: the client is its child, and stands for the forked process.
"""

import fcntl
import gc
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from tests.flow.fork_client import LENGTH, ask

ROOT = Path(__file__).parents[2]
MODULES = (
    "ingest_price.__main__",
    "ingest_rank.__main__",
    "query_api.__main__",
    "lib.cli.backfill",
    "lib.cli.client",
    "lib.cli.demo",
    "lib.cli.doctor",
    "lib.cli.table",
    "lib.cli.up",
    "lib.cli.watch",
)
"""With these, almost everything is loaded."""
MOST_FILES = 16
HIGHEST_FILE = 256


class Forks:
    """The server, and the processes that it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.address = folder / "server"
        self.bin = folder / "bin"
        """A folder for the PATH of a shell, with `topcoins`."""
        for path in (self.bin / "topcoins", executable(self.address)):
            _write_client(path)
        # A library that starts threads when it is loaded could not be forked.
        environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
        command = [sys.executable, "-m", __name__, str(self.address)]
        self._server = subprocess.Popen(
            command, env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._server.stdout
        assert self._server.stdout.readline() == b"ready\n"

    def start(self, arguments: Sequence[str], environ: Mapping[str, str], folder: Path, files: Sequence[int]) -> "Fork":
        """`python -m MODULE …`, `python -c TEXT …` or `topcoins …` with these as stdin, stdout and stderr."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.address))
        ask(connection, {"arguments": [*arguments], "environ": {**environ}, "folder": str(folder)}, files, range(3))
        return Fork(connection)

    def run(
        self, *arguments: str, environ: Mapping[str, str], folder: Path, timeout: float = 60
    ) -> "subprocess.CompletedProcess[str]":
        """The same with nothing on stdin, to its end, as `subprocess.run` does."""
        with open(os.devnull, "rb") as none, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            fork = self.start(arguments, environ, folder, [none.fileno(), out.fileno(), err.fileno()])
            code = fork.wait(timeout)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def close(self) -> None:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()


def executable(server: Path) -> Path:
    """The `sys.executable` of forked processes."""
    return server.parent / "executable" / "python"


def _write_client(path: Path) -> None:
    text = Path(__file__).with_name("fork_client.py").read_text("utf-8")
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable} -IS\n{text}", "utf-8")
    path.chmod(0o755)


class Fork:
    """A process of the server, used as a `Popen` is."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rb", buffering=0)
        self._connection = connection
        self.pid = int(self._lines.readline())
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        if self._code is None and select.select([self._connection], [], [], 0)[0]:
            self._code = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self._code

    def wait(self, timeout: float) -> int:
        """Its exit code, as soon as it has ended."""
        if self._code is None:
            select.select([self._connection], [], [], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def serve(address: str) -> list[str]:
    """Fork for each connection, until stdin ends. Returns in each process that was asked for, with its arguments."""
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    listener = socket.create_server(address, family=socket.AF_UNIX)
    print("ready", flush=True)
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        length, files, *_ = socket.recv_fds(connection, LENGTH, MOST_FILES)
        asked = json.loads(connection.recv(int(length), socket.MSG_WAITALL))
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                for opened in (listener, connection):  # their numbers may become those of other files
                    opened.detach()
                become(asked, files, executable(Path(address)))
                return list(asked["arguments"])
            _close(files)
            _watch(pid, connection)
        _close(files)
        connection.close()
    sys.exit()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _close(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)


def _watch(pid: int, connection: socket.socket) -> None:
    """Report a process's number, and its exit code when it has ended. Kill it when nobody waits for that any more."""
    ended = os.pidfd_open(pid)
    with suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % pid)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(asked: Mapping[str, Any], files: Sequence[int], executable: Path) -> None:
    """Take on the files, the folder and the environment of a process of its own."""
    os.setsid()
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGHEST_FILE) for file in files]
    os.closerange(0, HIGHEST_FILE)
    for number, file in zip(asked["files"], moved, strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.executable = str(executable)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(file, "wb", 0, closefd=False), "utf-8", write_through=True)  # noqa: SIM115
        for file in (1, 2)
    )


def run(arguments: Sequence[str]) -> None:
    """What `python -m MODULE …`, `python -c TEXT …` or `topcoins …` does."""
    program, *options = arguments
    if Path(program).name == "topcoins":
        sys.argv = list(arguments)
        import_module("lib.cli").main()
    elif options[0] == "-m":
        sys.argv = options[1:]
        runpy.run_module(options[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = ["-c", *options[2:]]
        exec(compile(options[1], "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    for name in MODULES:
        import_module(name)
        if name.endswith("__main__"):
            del sys.modules[name]  # it is run again, as the main module
    gc.freeze()
    run(serve(sys.argv[1]))
