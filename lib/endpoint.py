"""Addresses to listen on and to ask: IPv4, IPv6, or names."""

import errno
import os
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

LOOPBACK = "127.0.0.1"
_EVERY = {"0.0.0.0": LOOPBACK, "::": "::1"}
"""The addresses that mean every address of the machine, and where such a server is asked."""
_OTHER_HOST = f"set TOPCOINS_HTTP_HOST to an address of this machine, for example {LOOPBACK}"
_LOCAL = (*_EVERY, LOOPBACK, "localhost")


def open_listener(host: str, port: int, *, backlog: int = 128) -> socket.socket:
    """A listening socket, IPv4 or IPv6 as the address is; `::` takes both. OSError when it cannot be had."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(addresses, key=lambda each: each[0] != socket.AF_INET)  # a name may have both
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=both)


def describe_refusal(exc: OSError, port_option: str) -> str:
    """Why `open_listener` failed, and what to change: the port, by this option, or the host."""
    if isinstance(exc, socket.gaierror):
        return f"the name cannot be resolved; {_OTHER_HOST}"
    why = os.strerror(exc.errno or 0).lower()
    if exc.errno in (errno.EADDRINUSE, errno.EACCES):
        return f"{why}; choose 16667 or another free one with {port_option}"
    return f"{why}; {_OTHER_HOST}"


def to_ask(host: str) -> str:
    """Where a server on this host is asked from this machine."""
    return _EVERY.get(host, host)


def http_url(host: str, port: int) -> str:
    """The address of an HTTP server, with brackets around an IPv6 address."""
    return f"http://{bracketed(host)}:{port}"


def shown_url(host: str, port: int) -> str:
    """The address to print for people on this machine."""
    return http_url("localhost" if host in _LOCAL else host, port)


def bracketed(host: str) -> str:
    """The host as a URL has it."""
    return f"[{host.replace('%', '%25')}]" if isinstance(parse_ip(host), IPv6Address) else host


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a text is; None for other text, such as a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None
