"""Ports for servers that a test starts."""

import os
import random
import socket
from contextlib import suppress
from itertools import cycle

# Below the ports that the system gives by itself, or else another test could get one before it is used. Each process
# of pytest-xdist has its own thousand, and begins anywhere in it: two runs at once seldom meet, and never if each has
# its own TOPCOINS_TEST_PORTS.
_FIRST = int(os.environ.get("TOPCOINS_TEST_PORTS", "10000"))
_FIRST += 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_BEGIN = random.randrange(1_000)
_ports = cycle([*range(_FIRST + _BEGIN, _FIRST + 1_000), *range(_FIRST, _FIRST + _BEGIN)])


def free_port() -> int:
    """A port on loopback that is free now, and that nobody else is given."""
    while True:
        port = next(_ports)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return int(port)
