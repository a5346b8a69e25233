"""Programs that `.ci/build.sh` has built for the tests."""

import os
import re
import shutil
from pathlib import Path

import pytest

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
