"""Who sends a request: what the limits per client count by."""

from ipaddress import IPv6Address, ip_address

from starlette.types import Scope

KEY_NAME = "topcoins.client"
"""Where access control puts the name of the key that a request carries, in its ASGI scope."""


def client_of(scope: Scope) -> str:
    """The name of the request's key; without keys its address."""
    return str(scope.get(KEY_NAME) or address_of(scope))


def address_of(scope: Scope) -> str:
    """The sender's address. Of IPv6 it is the /64 network: one sender has all of its addresses."""
    host = (scope.get("client") or ("nobody", 0))[0]
    try:
        address = ip_address(host)
    except ValueError:
        return str(host)
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
