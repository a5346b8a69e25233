"""Ports on loopback."""

import os
import socket

from lib.cli.stack import Stack
from lib.errors import SettingsRejected


def refuse_taken(port: int, option: str) -> None:
    """Raise SettingsRejected when a port is not free on loopback."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as exc:
        why = os.strerror(exc.errno or 0).lower()
        raise SettingsRejected(f"port {port} can't be listened on: {why}; choose a free one with {option}") from exc


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(stack: Stack, port: int) -> None:
    """Wait until something listens on a port of loopback."""

    def listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    stack.wait(listening)
