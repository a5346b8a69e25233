import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.faults.world import START

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def starts() -> Iterator[datetime]:
    """Each before all others, so that worlds in one bucket have no past."""
    return (START - n * HOUR for n in itertools.count())
