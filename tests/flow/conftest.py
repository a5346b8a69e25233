import os
from collections.abc import Iterator, Mapping

import pytest

from tests.flow.processes import Stage


@pytest.fixture(scope="session")
def environ() -> Mapping[str, str]:
    """The environment of the tests without settings of topcoins."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    return own | {"PYTHONUNBUFFERED": "1", "POLARS_MAX_THREADS": "1"}


@pytest.fixture
def stage(environ, tmp_path, forks) -> Iterator[Stage]:
    with Stage(tmp_path, environ, forks) as opened:
        yield opened


@pytest.fixture
def fresh_stage(environ, tmp_path) -> Iterator[Stage]:
    """A stage on which each process starts a Python interpreter, and loads what it needs and no more."""
    with Stage(tmp_path, environ) as opened:
        yield opened
