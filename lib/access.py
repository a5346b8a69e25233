"""Client keys, rate limits, origins and proxies, as the settings give them. Only the hash of a key is stored."""

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
ANY_ORIGIN = "*"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests one client may make in a period."""

    requests: int
    period: timedelta


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key, which is not stored anywhere. `line` goes into the API's settings."""

    key: str
    line: str


def new_key(name: str) -> NewKey:
    """A random key for the client of this name. Raises ValueError for what is not a name."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name; write letters, digits, '.', '_' and '-', for example grafana")
    key = f"tc_{secrets.token_urlsafe(32)}"
    return NewKey(key, f"{name}:{digest(key)}")


def digest(key: str) -> str:
    """The hash of a key. One SHA-256 is enough: nobody can guess 256 random bits."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def client_keys(value: object) -> object:
    """A mapping from name to hash, from NAME:HASH parts separated by commas or line breaks. `#` begins a comment."""
    if isinstance(value, dict):
        value = [f"{name}:{key}" for name, key in value.items()]
    if isinstance(value, list):
        value = "\n".join(map(str, value))
    if not isinstance(value, str):
        return value
    keys: dict[str, str] = {}
    parts = [part.strip() for line in value.splitlines() for part in line.split("#")[0].split(",")]
    for number, part in enumerate(filter(None, parts), 1):
        line = _LINE.fullmatch(part)
        if not line:
            raise ValueError(f"part {number} must be NAME:SHA256, as `topcoins key NAME` prints it")
        if line[1] in keys:
            raise ValueError(f"{line[1]} is named twice; give each client a name of its own")
        keys[line[1]] = line[2]
    return keys


def rate(value: object) -> object:
    """`600/minute` as a Rate; None, or an empty text, is no limit."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    match = _RATE.fullmatch(value.strip())
    if not match:
        raise ValueError("must be a number, a slash, and second, minute, hour or day")
    return Rate(int(match[1]), timedelta(**{f"{match[2]}s": 1}))


def networks(names: tuple[str, ...]) -> tuple[str, ...]:
    """Checks addresses and networks; IPv6 may have brackets. None may include every address."""
    names = tuple(name.replace("[", "").replace("]", "") for name in names)
    for name in names:
        try:
            everybody = ip_network(name).prefixlen == 0
        except ValueError as exc:
            raise ValueError(f"{name!r} is no address and no network") from exc
        if everybody:
            raise ValueError(f"{name!r} is every address: name the proxy")
    return names


def origins(names: tuple[str, ...]) -> tuple[str, ...]:
    """Checks origins: as browsers send them, or `*`."""
    for name in names:
        parts = urlsplit(name)
        origin = f"{parts.scheme}://{parts.netloc}"
        whole = parts.scheme in ("http", "https") and parts.hostname and name == origin and "@" not in name
        if name != ANY_ORIGIN and not whole:
            raise ValueError(
                f"{name!r} is no origin: write scheme and host, and the port if it is not the default, or *"
            )
    return names


Keys = Mapping[str, str]
"""From a client's name to the hash of its key."""
