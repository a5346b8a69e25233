"""Both stores and the archive, behind one fixture: what a test asks of one it asks of the others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import pytest
from obstore.store import MemoryStore as ObjectsInMemory

from lib.store import Store
from lib.store.influx import hourly
from lib.store.sqlite import SqliteStore
from tests.contract.sealed import SealsAtOnce
from tests.fakes import FakeClock


@dataclass
class Place:
    """Where snapshots are kept: any number of stores open it, as any number of processes would."""

    open: Callable[[], Store]
    settle: Callable[[], Awaitable[None]]
    """Do at once what the store does in its own time: fill its hours."""


@pytest.fixture
def clock():
    return FakeClock()


SEALED_TOO = ("test_rows", "test_markers", "test_history", "test_known_at", "test_withdrawal")
"""What the archive promises as well. The rest asks nothing of a store that these do not."""


def pytest_generate_tests(metafunc):
    if "place" in metafunc.fixturenames:
        sealed = ["sealed"] if metafunc.module.__name__.rpartition(".")[2] in SEALED_TOO else []
        stores = ["sqlite", *sealed, pytest.param("influx", marks=pytest.mark.influx)]
        metafunc.parametrize("place", stores, indirect=True)


@pytest.fixture
def place(request, tmp_path, clock):
    if request.param == "sqlite":
        return Place(lambda: SqliteStore(tmp_path / "topcoins.db", clock=clock), _nothing)
    if request.param == "sealed":
        objects = ObjectsInMemory()
        return Place(lambda: cast(Store, SealsAtOnce(tmp_path, objects, clock)), _nothing)
    bucket = request.getfixturevalue("influx_bucket")

    async def fill_hours():
        server = bucket.connect()
        await server.query(hourly.script(bucket.name, retention=None), str)
        await server.close()

    return Place(lambda: bucket.store(clock), fill_hours)


async def _nothing():
    pass


@pytest.fixture
async def store(place):
    opened = place.open()
    yield opened
    await opened.close()


@pytest.fixture
async def other(place):
    """A second store on the same place."""
    opened = place.open()
    yield opened
    await opened.close()
