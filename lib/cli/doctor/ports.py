"""Checks of the addresses that the API listens on."""

import errno

import httpx

from lib.cli.doctor.finding import Finding
from lib.endpoint import bracketed, describe_refusal, http_url, open_listener, to_ask
from lib.settings import PREFIX, Settings


def check_ports(chosen: Settings) -> list[Finding]:
    """Whether each port is free, or an API of topcoins answers there."""
    ports = {"http_port": chosen.http_port, "http_safe_port": chosen.http_safe_port}
    return [_check(chosen.http_host, port, f"{PREFIX}{name.upper()}") for name, port in ports.items()]


def _check(host: str, port: int, setting: str) -> Finding:
    what = f"port {port}"
    try:
        open_listener(host, port).close()
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE and _is_ours(host, port):
            return Finding(what, True, f"an API of topcoins answers at {http_url(to_ask(host), port)}")
        why = describe_refusal(exc, setting)
        return Finding(what, False, f"{bracketed(host)}:{port} can't be listened on: {why}")
    return Finding(what, True, f"{bracketed(host)}:{port} is free; no API runs there")


def _is_ours(host: str, port: int) -> bool:
    try:
        answer = httpx.get(http_url(to_ask(host), port) + "/healthz", trust_env=False, verify=False, timeout=5)
        return bool(answer.json()["status"] == "ok")
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False
