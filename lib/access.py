"""Who may ask the API and how often: what the settings say of it. Of a client's key only its hash is kept."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from urllib.parse import urlsplit

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(rf"({_NAME.pattern}):([0-9a-f]{{64}})")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
_PERIODS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
ANY_ORIGIN = "*"


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests of one client in a period."""

    requests: int
    period: timedelta


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only time it is seen. `line` is what the API is told."""

    key: str
    line: str


def new_key(name: str) -> NewKey:
    """A random key for the client of this name; ValueError when that is not a name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name; write letters, digits, '.', '_' and '-', for example grafana")
    key = f"tc_{secrets.token_urlsafe(32)}"
    return NewKey(key, f"{name}:{digest(key)}")


def digest(key: str) -> str:
    """What is kept of a key. One SHA-256 is enough for 256 random bits: nobody can guess those."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def client_keys(value: object) -> object:
    """NAME:HASH parts, apart by commas or on lines of their own, as a mapping from name to hash."""
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    parts = [part.strip() for line in value.splitlines() for part in line.split("#")[0].split(",")]
    for number, part in enumerate(filter(None, parts), 1):
        line = _LINE.fullmatch(part)
        if not line:
            raise ValueError(f"part {number} must be NAME:SHA256, as `topcoins key NAME` prints it")
        if line[1] in found:
            raise ValueError(f"{line[1]} is named twice; give each client a name of its own")
        found[line[1]] = line[2]
    return found


def rate(value: object) -> object:
    """`600/minute` as a Rate; nothing, or an empty text, is no limit."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    found = _RATE.fullmatch(value.strip())
    if not found:
        raise ValueError("must be a number, a slash, and second, minute, hour or day")
    return Rate(int(found[1]), _PERIODS[found[2]])


def networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses and networks, none of them everybody."""
    for name in names:
        try:
            whole = ip_network(name).prefixlen == 0
        except ValueError as exc:
            raise ValueError(f"{name!r} is no address and no network: {exc}") from exc
        if whole:
            raise ValueError(f"{name!r} is everybody: name the proxy")
    return names


def origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them, or `*`."""
    for name in names:
        parts = urlsplit(name)
        whole = f"{parts.scheme}://{parts.netloc}"
        if name != ANY_ORIGIN and not (parts.scheme in ("http", "https") and parts.hostname and name == whole):
            raise ValueError(f"{name!r} is no origin: write scheme, host and, where it is odd, port, or *")
    return names


Keys = Mapping[str, str]
"""From a client's name to the hash of its key."""
