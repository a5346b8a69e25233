import os
from collections.abc import Iterator, Mapping

import pytest

from tests.flow.processes import Stage


@pytest.fixture(scope="session")
def environ(pytestconfig: pytest.Config) -> Mapping[str, str]:
    """Ours without settings of topcoins. Where Python may not keep compiled modules it keeps them in pytest's cache:
    else each of some fifty processes compiles all of them."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOPCOINS_")}
    if own.pop("PYTHONDONTWRITEBYTECODE", None) and pytestconfig.cache:
        own["PYTHONPYCACHEPREFIX"] = str(pytestconfig.cache.mkdir("compiled"))
    return own | {"PYTHONUNBUFFERED": "1", "POLARS_MAX_THREADS": "1"}


@pytest.fixture
def stage(environ, tmp_path) -> Iterator[Stage]:
    with Stage(tmp_path, environ) as opened:
        yield opened
