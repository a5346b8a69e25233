"""The longer run, short: a few rounds on the real services, with a seed that is printed."""

import random
import secrets

import pytest

from tests.faults.siege import Siege, influx
from tests.flow.conftest import environ, stage

__all__ = ["environ", "stage"]
pytestmark = [pytest.mark.stack, pytest.mark.slow]


@pytest.mark.influx
async def test_the_services_come_through_whatever_chance_breaks(stage):
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}: python -m tests.faults --seed {seed}")
    with influx(stage) as place:
        assert await Siege(stage, place, random.Random(seed)).run(0, at_least=3) == 3
