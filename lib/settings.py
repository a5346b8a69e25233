"""Settings: one TOML file under `TOPCOINS_…` environment variables, read once by each `__main__`.

A table named after a service (`[query_api]`) holds for that service alone. Every secret can also come
from a file named by `TOPCOINS_…_FILE`.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from lib import access
from lib.errors import SettingsRejected
from lib.units import parse_duration

PREFIX = "TOPCOINS_"
SERVICES = ("ingest_price", "ingest_rank", "query_api")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_USER = re.compile(r"//[^/]*@")

_SECRETS = ("influx_token", "client_key", "client_keys")
_TABLES = ("api_keys", "source_urls")
"""Filled from settings of their own, such as cmc_api_key and cmc_url."""
_TESTS = "test_"
"""What only the tests read begins with this, after the prefix."""

EXAMPLES = {
    "store_url": "sqlite:///./data/topcoins.db or http://localhost:8086",
    "store_read_url": "http://replica:8086",
    "price_source": "coinmarketcap",
    "rank_source": "coindesk,coinmarketcap",
    "extra_sources": "/etc/topcoins/market_cap.toml",
    "assets": "1000",
    "interval": "60s",
    "max_skew": "60s",
    "max_age": "10m",
    "spool_limit": "1GiB",
    "http_port": "6667",
    "http_safe_port": "8667",
    "notice": "The market is simulated",
    "http_connections": "800",
    "http_workers": "2 or auto",
    "client_keys": "grafana:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "rate_limit": "600/minute",
    "cors_origins": "https://dashboard.example.com",
    "trusted_proxies": "10.0.0.7,172.18.0.0/16",
    "log_level": "info",
    "log_format": "json",
    "log_file": "/var/log/topcoins.log",
    "source_urls": "https://pro-api.coinmarketcap.com",
}


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _worker_count(value: object) -> object:
    """`auto` as the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if value == "auto" else value


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta():
        raise ValueError("must be above 0")
    return span


def _whole_seconds(span: timedelta) -> timedelta:
    seconds = span.total_seconds()
    if seconds % 1 or (seconds % 60 and 60 % seconds):
        raise ValueError("must be whole minutes, or a part of a minute such as 30s")
    return span


def _listed(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must be https: only an address on loopback may be http, a key would be readable")
    if parts.username or parts.password:
        raise ValueError("must hold no user or password: a key goes into its own setting")
    if parts.query or parts.fragment or parts.port == 0:
        raise ValueError("must end with the host, a port or a path")
    return url.rstrip("/")


def _sendable(secret: SecretStr) -> SecretStr:
    """Without space around it. Any other odd character would fail later, in an error that shows the header."""
    value = secret.get_secret_value().strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters without a space between them")
    return SecretStr(value)


def _store_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and parts.path.strip("/"):
        return url
    if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc:
        return url.rstrip("/")
    raise ValueError("must be sqlite:///FILE or http(s)://HOST:PORT")


def _server_url(url: str) -> str:
    if url.startswith("sqlite:"):
        raise ValueError("must be http(s)://HOST:PORT: only an InfluxDB has a second address to read from")
    return _store_url(url)


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_positive)]
Interval = Annotated[Duration, AfterValidator(_whole_seconds)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Secret = Annotated[SecretStr, AfterValidator(_sendable)]
SourceUrl = Annotated[str, AfterValidator(_safe_url)]
Port = Annotated[int, Field(ge=1, le=65535)]
ClientKeys = Annotated[dict[str, str], BeforeValidator(access.client_keys)]
Origins = Annotated[Names, AfterValidator(access.origins)]
Networks = Annotated[Names, AfterValidator(access.networks)]


class Settings(BaseModel):
    """Everything a service can be told, with its default; made by `load`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store_url: Annotated[str, AfterValidator(_store_url)] = "sqlite:///./data/topcoins.db"
    store_read_url: Annotated[str, AfterValidator(_server_url)] | None = None
    influx_org: str = "topcoins"
    influx_bucket: str = "market"
    influx_token: Secret | None = None
    price_source: str = "coinmarketcap"
    rank_source: Annotated[Names, Field(min_length=1)] = ("coindesk", "coinmarketcap")
    extra_sources: Names = ()
    api_keys: dict[str, Secret] = {}
    source_urls: dict[str, SourceUrl] = {}
    assets: Annotated[int, Field(ge=1, le=5000)] = 1000
    interval: Interval = timedelta(seconds=60)
    max_skew: Duration = timedelta(seconds=60)
    max_age: Duration = timedelta(minutes=10)
    spool_dir: Path = Path("data/spool")
    spool_limit: ByteSize = ByteSize(2**30)
    http_host: str = "127.0.0.1"
    http_port: Port = 6667
    http_safe_port: Port = 8667
    http_connections: Annotated[int, Field(ge=1, le=100_000)] = 800
    http_workers: Annotated[int, BeforeValidator(_worker_count), Field(ge=1, le=64)] = 1
    client_keys: ClientKeys = {}
    client_key: Secret | None = None
    rate_limit: Annotated[access.Rate | None, BeforeValidator(access.rate)] = None
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    notice: Annotated[str, Field(max_length=500)] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    log_file: Path | None = None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret that is set, for the log's redaction."""
        own = (self.influx_token, self.client_key, *self.api_keys.values())
        return tuple(secret for secret in own if secret)


def load(environ: Mapping[str, str], service: str | None = None) -> Settings:
    """The settings of one service; SettingsRejected names the field, the value and a valid example."""
    in_file = _from_file(environ.get(PREFIX + "CONFIG"), service)
    found = {name: value for name, value in in_file.items() if not _unset(name, value)}
    found |= _from_environment(environ)
    _refuse_unknown(found)
    open_names = [name for name in found if name not in Settings.model_fields]
    tables = {
        "api_keys": {name: found.pop(name) for name in open_names if name.endswith("_api_key")},
        "source_urls": {name: found.pop(name) for name in open_names if name.endswith("_url")},
    }
    try:
        return Settings.model_validate(found | tables)
    except ValidationError as exc:
        raise SettingsRejected(_sentence(exc, found | tables)) from None


def _from_file(path: str | None, service: str | None) -> dict[str, object]:
    if not path:
        return {}
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsRejected(f"{PREFIX}CONFIG: {path} can't be read: {exc}") from exc
    own: dict[str, object] = {}
    for name in SERVICES:
        part = table.pop(name, {})
        if not isinstance(part, dict):
            raise SettingsRejected(f"{path}: {name} must be a table, such as [{name}]")
        if name == service:
            own = part
        else:
            _refuse_unknown(part)
    return {**table, **own}


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, value in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or name == "config" or name.startswith(_TESTS):
            continue
        if name.endswith("_file") and _secret(name.removesuffix("_file")):
            if value:
                found[name.removesuffix("_file")] = _file_secret(variable, value)
        elif not _unset(name, value):
            found[name] = value
    return found


def _unset(name: str, value: object) -> bool:
    """An empty secret is one that is not set: compose passes those."""
    return _secret(name) and isinstance(value, str) and not value.strip()


def _secret(name: str) -> bool:
    return name in _SECRETS or name.endswith("_api_key")


def _file_secret(variable: str, path: str) -> str:
    try:
        secret = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsRejected(f"{variable}: the secret's file {path} can't be read: {exc}") from exc
    if not secret:
        raise SettingsRejected(f"{variable}: the secret's file {path} is empty")
    return secret


def _refuse_unknown(found: Mapping[str, object]) -> None:
    own = [name for name in Settings.model_fields if name not in _TABLES]
    known = [*own, "cmc_api_key", "coindesk_api_key", "cmc_url", "coindesk_url"]
    for name in found:
        if name in own or name.endswith(("_api_key", "_url")):
            continue
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; settings are {', '.join(known)}"
        raise SettingsRejected(f"{name} is not a setting ({PREFIX}{name.upper()}){hint}")


def _sentence(exc: ValidationError, found: Mapping[str, object]) -> str:
    error = exc.errors(include_url=False)[0]
    name, *inner = (str(part) for part in error["loc"])
    value = found.get(name)
    if isinstance(value, dict) and inner:
        value = value.get(inner[0])
    setting = inner[0] if name in _TABLES and inner else name
    shown = "its value" if _secret(setting) else _USER.sub("//***@", repr(value))
    reason = error["msg"].removeprefix("Value error, ")
    example = EXAMPLES.get(name)
    ending = f"; for example {example}" if example and "for example" not in reason else ""
    return f"{PREFIX}{setting.upper()} (or {setting} in the file): {shown}: {reason}{ending}"
