"""Programs that `.ci/build.sh` has built for the tests."""

import os
import re
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

LOOK_S = 0.02
_CI = Path(__file__).parents[1] / ".ci"


def find_program(name: str, program: str, *, required: str) -> str:
    """What `.ci/build.sh NAME` has built, or else the program on the PATH.

    Without any the test is skipped, or fails if the environment variable `required` is 1.
    """
    built = built_program(name, program)
    if path := str(built) if built.exists() else shutil.which(program):
        return path
    raise missing(f"no {name}: neither {program} on the PATH, nor {built}: .ci/build.sh {name}", required=required)


def built_program(name: str, program: str) -> Path:
    """Where `.ci/build.sh NAME` puts the version that its go.mod pins."""
    (version,) = re.findall(r"(?m)^require \S+ v(\S+)$", (_CI / name / "go.mod").read_text("utf-8"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "topcoins" / f"{name}-{version}" / program


def missing(why: str, *, required: str) -> BaseException:
    """What skips the test, or fails it if the environment requires what is missing."""
    return pytest.fail.Exception(why) if os.environ.get(required) == "1" else pytest.skip.Exception(why)


class PrivateProgram(ABC):
    """A server with its files in a folder: one that was killed starts again on them, at the same address."""

    name: str
    patience: float
    """Seconds it may take until it is ready."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns once it is ready."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                self._command(), cwd=self._folder, env=self._environ(), stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """With SIGKILL: it has no time to put anything in order."""
        self._process.kill()
        self._process.wait()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What starts it."""

    @abstractmethod
    def _environ(self) -> Mapping[str, str]:
        """Its environment."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers as it should."""

    def _await_ready(self) -> None:
        late = time.monotonic() + self.patience
        while time.monotonic() < late:
            if self._process.poll() is not None:
                pytest.fail(f"{self.name} ended: {self._log.read_text('utf-8')[-2000:]}")
            if self._is_ready():
                return
            time.sleep(LOOK_S)
        pytest.fail(f"{self.name} is not ready after {self.patience:.0f} s: {self._log.read_text('utf-8')[-2000:]}")
