"""Who a request comes from, for every limit that counts per client."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network

from starlette.types import Scope

from lib.endpoint import parse_ip

IPV6_PREFIX = 48
"""All addresses of one such IPv6 network count as one client: a site is given that many, and may use them all."""
KEY_NAME = "topcoins.client"
"""Where access control puts the name of the key that a request carries, in its ASGI scope."""
UNKNOWN = "unknown"


def client_of(scope: Scope) -> str:
    """The client's name when it has a key, else its address; of IPv6 its network."""
    name = scope.get(KEY_NAME)
    if name is not None:
        return str(name)
    client = scope.get("client")
    return network_of(client[0]) if client else UNKNOWN


@lru_cache(4096)
def network_of(host: str) -> str:
    """The address, or the /48 network of an IPv6 address. Text that is not an address stays as it is."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        shift = 128 - IPV6_PREFIX
        return f"{IPv6Address(int(address) >> shift << shift)}/{IPV6_PREFIX}"
    return str(address or host)


class Addresses:
    """A set of addresses and networks, such as TRUSTED_PROXIES."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._networks = [ip_network(name) for name in names]

    def __contains__(self, host: str) -> bool:
        address = _address(host) if self._networks else None
        return address is not None and any(address in network for network in self._networks)


def with_mapped(names: Sequence[str]) -> list[str]:
    """Addresses and networks, and the IPv6 form that those of IPv4 have on a socket that takes both."""
    networks = [ip_network(name) for name in names]
    mapped = [f"::ffff:{each.network_address}/{96 + each.prefixlen}" for each in networks if each.version == 4]
    return [*names, *mapped]


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address, without its zone, an IPv4 address that is mapped to IPv6 as such; None for other text."""
    address = parse_ip(host.partition("%")[0])
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
