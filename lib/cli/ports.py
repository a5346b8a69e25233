"""Ports, most of them on loopback."""

import socket

import httpx

from lib.cli.stack import Stack
from lib.endpoint import LOOPBACK, describe_refusal, http_url, open_listener, to_ask
from lib.errors import SettingsRejected


def refuse_taken(port: int, option: str, host: str = LOOPBACK) -> None:
    """Raise SettingsRejected when a port is not free, or the host is none of this machine."""
    try:
        open_listener(host, port).close()
    except OSError as exc:
        why = describe_refusal(exc, option)
        raise SettingsRejected(f"port {port} can't be listened on: {why}") from exc


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def ask_own(host: str, port: int, path: str, *, timeout_s: float) -> bytes:
    """The body of the answer of a server on this machine; empty where there is none."""
    try:
        return httpx.get(http_url(to_ask(host), port) + path, trust_env=False, verify=False, timeout=timeout_s).content
    except httpx.HTTPError:
        return b""


def wait_for_port(stack: Stack, port: int) -> None:
    """Wait until something listens on a port of loopback."""

    def listening() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, port)) == 0

    stack.wait(listening)
