"""What every test stands on: no sockets but for marked tests, no waiting between retries."""

from collections.abc import Iterator

import hypothesis
import pytest
import stamina

pytest_plugins = ["tests.influxd"]

# A slow machine is no failed test.
hypothesis.settings.register_profile("topcoins", deadline=None)
hypothesis.settings.load_profile("topcoins")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("influx") or item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.enable_socket)


@pytest.fixture(autouse=True, scope="session")
def retries_do_not_wait() -> Iterator[None]:
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)
