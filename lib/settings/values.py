"""The kinds of values that settings have, and how each is read from text. An error never repeats its value."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from lib import access
from lib.endpoint import parse_ip
from lib.units import parse_duration

SQLITE = "sqlite:///"
NONE = "none"
"""The address of a store or an archive that there is not."""
_LOCAL_NAME = re.compile(r"[a-z][a-z0-9_-]*")
"""A host name without a dot, which no public host has. It begins with a letter: an address may be one number."""


def _duration(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a duration")
    return parse_duration(value) if isinstance(value, str) else value


def _empty_as_none(value: object) -> object:
    """Docker Compose passes an empty text where nothing is set."""
    return None if isinstance(value, str) and not value.strip() else value


def _whole_number(value: object) -> object:
    """Digits only: the library would also accept `1_000` and `true`."""
    if isinstance(value, str) and re.fullmatch("[+-]?[0-9]{1,18}", value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number")


def _worker_count(value: object) -> object:
    """`auto` as the number of cores that this process may use."""
    return _cores() if value == "auto" else _whole_number(value)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS, Windows


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta():
        raise ValueError("must be above 0")
    return span


def _whole_seconds(span: timedelta) -> timedelta:
    seconds = span.total_seconds()
    if seconds % 1 or (seconds % 60 and 60 % seconds):
        raise ValueError("must be whole minutes, or a part of a minute such as 30s")
    return span


def _as_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _split(url: str, form: str, schemes: tuple[str, ...] = ("http", "https")) -> SplitResult:
    """The parts of an address that needs a host. The library's own errors would repeat a part of the address."""
    _refuse_secrets(url)
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0 and parts.scheme in schemes:
            return parts
    except ValueError:
        pass
    raise ValueError(f"must be {form}") from None


def _refuse_secrets(url: str) -> None:
    if "@" in url:
        raise ValueError("must have no user, password or @: a key goes into its own setting")
    if "?" in url or "#" in url:
        raise ValueError("must end with the host, a port or a path: a key goes into its own setting")


def _is_loopback(host: str) -> bool:
    address = parse_ip(host)
    return address.is_loopback if address else host == "localhost"


def _source_url(url: str) -> str:
    parts = _split(url, "an http or https address")
    host = parts.hostname or ""
    if parts.scheme == "http" and not (_is_loopback(host) or _LOCAL_NAME.fullmatch(host)):
        raise ValueError(
            "must be https: only loopback and a host name without a dot may be http, a key would be readable"
        )
    return url.rstrip("/")


def _store_url(url: str) -> str:
    if url == NONE:
        return url
    if url.startswith(SQLITE) and url.removeprefix(SQLITE).strip("/"):
        return f"{SQLITE}{Path(url.removeprefix(SQLITE)).expanduser()}"
    return _url(url, "sqlite:///FILE or http(s)://HOST:PORT")


def _url(url: str, form: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    _split(url, form, schemes)
    return url.rstrip("/")


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Of an address, also a mistyped one such as `s3:/bucket`, which is no folder."""


def _archive_url(url: str) -> str:
    if not _SCHEME.match(url):
        return url if url == NONE else str(Path(url).expanduser())
    form = "a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or none"
    return _url(url, form, ("s3", "gs", "az"))


def _server_url(url: str) -> str:
    if url.startswith("sqlite:"):
        raise ValueError("must be http(s)://HOST:PORT: only an InfluxDB has a second address to read from")
    return _store_url(url)


def _host(text: str) -> str:
    """A name or an address, of which IPv6 may have brackets."""
    host = text.removeprefix("[").removesuffix("]") if text.startswith("[") else text
    if not parse_ip(host) and not re.fullmatch(r"[A-Za-z0-9._-]+", host):
        raise ValueError("must be an address of this machine or its name, without http:// and without a port")
    return host


def _header_value(secret: SecretStr) -> SecretStr:
    """Without space around it. Any other odd character would fail later, in an error that shows the header."""
    value = secret.get_secret_value().strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters without a space between them")
    return SecretStr(value)


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
OptionalDuration = Annotated[Duration | None, BeforeValidator(_empty_as_none)]
Interval = Annotated[Duration, AfterValidator(_whole_seconds)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
FilePath = Annotated[Path, AfterValidator(Path.expanduser)]
Secret = Annotated[SecretStr, AfterValidator(_header_value)]
SourceUrl = Annotated[str, AfterValidator(_source_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
ApiUrl = Annotated[str, AfterValidator(lambda url: _url(url, "http(s)://HOST:PORT"))]
ArchiveUrl = Annotated[str, Field(min_length=1), AfterValidator(_archive_url)]
Endpoint = Annotated[str, AfterValidator(lambda url: url and _source_url(url))]
Whole = Annotated[int, BeforeValidator(_whole_number)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Text = Annotated[str, Field(min_length=1)]
Host = Annotated[Text, AfterValidator(_host)]
Workers = Annotated[int, BeforeValidator(_worker_count), Field(ge=1, le=64)]
ClientKeys = Annotated[dict[str, str], BeforeValidator(access.client_keys)]
Rate = Annotated[access.Rate | None, BeforeValidator(access.rate)]
Origins = Annotated[Names, AfterValidator(access.origins)]
Networks = Annotated[Names, AfterValidator(access.networks)]
