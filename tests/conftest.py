"""Common to all tests: no sockets but for marked tests, no waiting between retries."""

import gc
import importlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
import stamina

from tests.flow.forks import Forks

pytest_plugins = ["tests.influxd", "tests.seaweedfs"]

# Before Polars is loaded: the tests use all cores as processes, and the threads of a pool cost each of them time.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# A slow machine is no failed test.
THOROUGH = os.environ.get("TOPCOINS_TEST_SLOW") == "1"
hypothesis.settings.register_profile("topcoins", deadline=None, max_examples=100 if THOROUGH else 10)
hypothesis.settings.load_profile("topcoins")


def pytest_configure(config: pytest.Config) -> None:
    """Where Python may not keep compiled modules the processes we start keep them in pytest's cache: else each of some
    sixty compiles all of them."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and (cache := getattr(config, "cache", None)):
        os.environ["PYTHONPYCACHEPREFIX"] = str(cache.mkdir("compiled"))


def pytest_xdist_auto_num_workers() -> int:
    """Some of the suite waits, for processes and servers: one worker more than cores. Each loads all test modules."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Each worker first imports its share of the test modules: of a fresh clone it compiles those, not all of them."""
    worker = getattr(session.config, "workerinput", None)
    if worker is None:
        return
    folders = [path for path in map(Path, session.config.args) if path.is_dir()]
    modules = sorted(path.resolve() for folder in folders for path in folder.rglob("test_*.py"))
    for path in modules[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        name = ".".join(path.relative_to(session.config.rootpath).with_suffix("").parts)
        with suppress(Exception, pytest.skip.Exception):  # the collection reports it
            importlib.import_module(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not THOROUGH:
            item.add_marker(pytest.mark.skip("takes long; runs with TOPCOINS_TEST_SLOW=1, as in .ci/run"))
        if any(item.get_closest_marker(name) for name in ("influx", "stack", "s3")):
            item.add_marker(pytest.mark.enable_socket)
        if item.get_closest_marker("s3"):  # one process has the server
            item.add_marker(pytest.mark.xdist_group("s3"))
    # A long test that begins last would run alone at the end.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """The tests and what they import live to the end: the garbage collector need not visit them each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def retries_do_not_wait() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[Forks]:
    server = Forks(tmp_path_factory.mktemp("forks"))
    yield server
    server.close()
