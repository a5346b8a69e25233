"""Checks of the addresses that the API listens on."""

import errno

import orjson

from lib.cli.doctor.finding import Finding
from lib.cli.ports import ask_own
from lib.endpoint import bracketed, describe_refusal, http_url, open_listener, to_ask
from lib.settings import PREFIX, Settings


def check_ports(chosen: Settings) -> list[Finding]:
    """Whether each port is free, or an API of topcoins answers there."""
    return [_check(host, port, f"{PREFIX}{name.upper()}") for name, (host, port) in chosen.listeners.items()]


def _check(host: str, port: int, setting: str) -> Finding:
    what = f"port {port}"
    try:
        open_listener(host, port).close()
    except OSError as exc:
        is_ours = _has_metrics if setting.endswith("METRICS_PORT") else _is_healthy
        if exc.errno == errno.EADDRINUSE and is_ours(host, port):
            return Finding(what, True, f"an API of topcoins answers at {http_url(to_ask(host), port)}")
        why = describe_refusal(exc, setting)
        return Finding(what, False, f"{bracketed(host)}:{port} can't be listened on: {why}")
    return Finding(what, True, f"{bracketed(host)}:{port} is free; no API runs there")


def _is_healthy(host: str, port: int) -> bool:
    try:
        return bool(orjson.loads(ask_own(host, port, "/healthz", timeout_s=5))["status"] == "ok")
    except (ValueError, LookupError, TypeError):
        return False


def _has_metrics(host: str, port: int) -> bool:
    return b"\ntopcoins_" in ask_own(host, port, "/metrics", timeout_s=5)
