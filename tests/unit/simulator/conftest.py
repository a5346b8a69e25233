"""The simulated upstreams in process, at an instant the test sets."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from lib.simulator import Market, Replay, create_app
from tests.unit.simulator.upstreams import Caller, Hands, Open


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The recorded answers all tests share."""
    return Path(__file__).parents[2] / "recorded"


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def simulate(clock: Hands) -> AsyncIterator[Open]:
    """Opens a caller of a simulation; by default of a market of 250 assets."""
    async with AsyncExitStack() as stack:

        def opened(upstream: Market | Replay | None = None, **options: Any) -> Caller:
            app = create_app(upstream or Market(assets=250), clock, **options)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://simulated")
            stack.push_async_callback(client.aclose)
            return Caller(client)

        yield opened
