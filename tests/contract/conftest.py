"""Both stores, behind one fixture: what a test asks of one it asks of the other."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from lib.store import Store
from lib.store.influx import hourly
from lib.store.influx.server import Server
from lib.store.sqlite import SqliteStore
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


@pytest.fixture(params=["sqlite", pytest.param("influx", marks=pytest.mark.influx)])
def place(request, tmp_path, clock):
    if request.param == "sqlite":
        return Place(lambda: SqliteStore(tmp_path / "topcoins.db", clock=clock), _nothing)
    bucket = request.getfixturevalue("influx_bucket")

    async def fill_hours():
        server = Server(bucket.server.url, org=bucket.server.org, token=bucket.token)
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
