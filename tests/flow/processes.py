"""Real processes on a stage: each with its output in files and free ports, all ended when the stage closes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from tests.flow.forks import Fork, Forks
from tests.ports import free_port

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
LOOK_S = 0.1
COMMAND = str(Path(sys.executable).with_name("topcoins"))
RUN = "FLOW_RUN"
"""The variable by which the processes of a stage, and all that they start, are known again."""


def eventually(ask: Callable[[], T], within: float = WITHIN_S) -> T:
    """The first true answer to `ask`."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {answer!r}"
        time.sleep(LOOK_S)
    return answer


def eventually_holds(check: Callable[[], None], within: float = WITHIN_S) -> None:
    """Repeat a check until its assertions hold; after that time it fails as it did last."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            return check()
        except AssertionError:
            time.sleep(LOOK_S)
    return check()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A started process and its output so far."""

    def __init__(
        self, arguments: list[str], environ: Mapping[str, str], folder: Path, name: str, forks: Forks | None = None
    ) -> None:
        self.arguments = arguments
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        self._process: Fork | subprocess.Popen[bytes]
        with open(os.devnull, "rb") as none, self._out.open("wb") as out, self._err.open("wb") as err:
            if forks:
                self._process = forks.start(arguments, environ, folder, [file.fileno() for file in (none, out, err)])
            else:
                self._process = subprocess.Popen(
                    arguments, env=dict(environ), cwd=folder, stdin=none, stdout=out, stderr=err, start_new_session=True
                )

    @property
    def out(self) -> str:
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text("utf-8")

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log, where that is JSON on stdout."""
        return [json.loads(line) for line in self.out.splitlines(keepends=True) if line.endswith("\n")]

    def event(self, name: str, **fields: Any) -> dict[str, Any]:
        """The first event of this name with these fields, as soon as it is logged."""

        def found() -> dict[str, Any] | None:
            fit = (e for e in self.events if e["event"] == name and fields.items() <= e.items())
            return next(fit, None)

        return self.until(found) or {}

    def until(self, ask: Callable[[], T]) -> T:
        """The first true answer to `ask`, given before the process ends."""

        def attempt() -> T:
            runs = self.runs
            answer = ask()
            assert answer or runs, f"ended too early: {self.out}{self.err}"
            return answer

        return eventually(attempt)

    def report(self) -> str:
        """What it was, and the end of what it said."""
        return f"{' '.join(self.arguments)}\n{self.out[-2_000:]}{self.err[-2_000:]}"

    @property
    def most_memory(self) -> int:
        """The peak of its memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def is_fork(self) -> bool:
        return isinstance(self._process, Fork)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory(self) -> int:
        """Its memory in bytes."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU it has used, while it runs."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ends(self, within: float = WITHIN_S) -> int:
        """Its exit code."""
        return self._process.wait(within)


class Api:
    """A query API to ask."""

    def __init__(self, process: Process, port: int, safe_port: int) -> None:
        self.process = process
        self.port = port
        self.safe_port = safe_port

    def get(self, path: str = "/", /, port: int | None = None, **params: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{port or self.port}{path}"
        # Of plain HTTP there is nothing to verify, and to read the certificates costs more than to ask.
        return httpx.get(url, params=params, trust_env=False, verify=False, timeout=WITHIN_S)

    def answers(self, path: str = "/", status: int = 200, /, **params: Any) -> httpx.Response:
        """The first answer with this status."""

        def attempt() -> httpx.Response | None:
            try:
                response = self.get(path, **params)
            except httpx.TransportError:
                return None
            return response if response.status_code == status else None

        response = self.process.until(attempt)
        assert response is not None
        return response


class Stage:
    """Starts processes in a folder, with settings of their own and none of the caller's.

    With `forks`, those of topcoins are forked.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], forks: Forks | None = None) -> None:
        self.folder = folder
        self._forks = forks
        self._environ = {**environ, RUN: uuid.uuid4().hex}
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            if process.runs:
                process.send(signal.SIGTERM)
        for process in self._processes:
            try:
                process.ends()
            except subprocess.TimeoutExpired:
                process.send(signal.SIGKILL)
                process.ends()
            print(process.report())  # pytest shows it of a test that failed

    def start(self, *arguments: str, **settings: object) -> Process:
        """`python ARGUMENTS`, with settings by their names without the prefix."""
        return self._start([sys.executable, *arguments], settings, self._forks)

    def topcoins(self, *arguments: str, **settings: object) -> Process:
        """The command."""
        return self._start([COMMAND, *arguments], settings, self._forks)

    def command(self, *arguments: str, **settings: object) -> Process:
        """Any other program."""
        return self._start([*arguments], settings)

    def service(self, module: str, store: Path | None = None, **settings: object) -> Process:
        """One of the services, over the store of this stage or another one, its spool beside it."""
        chosen = store or self.store
        own = {"STORE_URL": f"sqlite:///{chosen}", "SPOOL_DIR": chosen.parent / "spool"}
        return self.start("-m", module, **{**own, **settings})

    @property
    def store(self) -> Path:
        return self.folder / "data" / "topcoins.db"

    def api(self, store: Path | None = None, *, ports: tuple[int, int] | None = None, **settings: object) -> Api:
        """The query API on two ports, by default free ones."""
        port, safe_port = ports or (free_port(), free_port())
        process = self.service("query_api", store, HTTP_PORT=port, HTTP_SAFE_PORT=safe_port, **settings)
        return Api(process, port, safe_port)

    def simulator(self, *arguments: str, port: int | None = None) -> dict[str, object]:
        """The upstream APIs; the settings by which a service asks them."""
        chosen = port or free_port()
        process = self.topcoins("simulate", "--port", str(chosen), *arguments)
        process.until(lambda: listens(chosen))
        return upstream(chosen)

    def alive(self) -> list[str]:
        """The command lines of this stage's processes and of all they started, orphans too."""
        mark = f"{RUN}={self._environ[RUN]}".encode()
        # The environment that a forked process has in /proc is that of the server.
        forked = [" ".join(process.arguments) for process in self._processes if process.is_fork and process.runs]
        return [*forked, *(command for environ, command in _processes() if mark in environ)]

    def _start(self, arguments: list[str], settings: Mapping[str, object], forks: Forks | None = None) -> Process:
        own = {f"TOPCOINS_{name}": str(value) for name, value in settings.items()}
        name = f"{len(self._processes)}-{Path(arguments[0]).name}"
        process = Process(arguments, self._environ | own, self.folder, name, forks)
        self._processes.append(process)
        return process


def upstream(port: int) -> dict[str, object]:
    """Settings for both upstreams on one port of loopback."""
    url = f"http://127.0.0.1:{port}"
    return {"CMC_URL": url, "COINDESK_URL": url, "CMC_API_KEY": "demo", "COINDESK_API_KEY": "demo"}


def _processes() -> list[tuple[bytes, str]]:
    """Environment and command line of every process we may look at."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environ, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except OSError:  # it has ended, or is another user's
                continue
            found.append((environ, command.replace(b"\0", b" ").decode("utf-8", "replace")))
    return found
