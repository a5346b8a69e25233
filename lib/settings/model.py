"""Every setting, with its type, default and an example."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, PrivateAttr, SecretStr, ValidationInfo, field_validator

from lib.redaction import Redaction, parts_like_keys
from lib.settings.values import (
    NONE,
    ArchiveUrl,
    ClientKeys,
    Duration,
    Endpoint,
    FilePath,
    Host,
    Interval,
    Names,
    Networks,
    OptionalDuration,
    Origins,
    Port,
    Rate,
    Secret,
    ServerUrl,
    SourceUrl,
    StoreUrl,
    Text,
    Whole,
    Workers,
)

EXAMPLES = {
    "store_url": "sqlite:///./data/topcoins.db or http://localhost:8086",
    "store_read_url": "http://replica:8086",
    "archive_url": "./data/archive or s3://bucket/prefix",
    "keep_minutes": "3d",
    "archive_endpoint": "http://seaweedfs:8333",
    "archive_region": "eu-central-1",
    "archive_access_key": "AKIAIOSFODNN7EXAMPLE",
    "influx_org": "topcoins",
    "influx_bucket": "market",
    "price_source": "coinmarketcap",
    "rank_source": "coindesk,coinmarketcap",
    "extra_sources": "/etc/topcoins/market_cap.toml",
    "check_source": "coinpaprika",
    "id_table": "/etc/topcoins/ids.csv",
    "assets": "1000",
    "interval": "60s",
    "max_skew": "60s",
    "max_age": "10m",
    "clock_check": "off",
    "spool_limit": "1GiB",
    "http_host": "127.0.0.1",
    "http_port": "6667",
    "http_safe_port": "8667",
    "metrics_host": "127.0.0.1",
    "metrics_port": "9668",
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
_TEXTS = (str, Path, tuple, dict)
_NAMES_OF_SOURCES = ("price_source", "rank_source", "extra_sources", "check_source")


class Settings(BaseModel):
    """Every setting with its default. `load` makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store_url: StoreUrl = "sqlite:///./data/topcoins.db"
    store_read_url: ServerUrl | None = None
    influx_org: Text = "topcoins"
    influx_bucket: Text = "market"
    influx_token: Secret | None = None
    archive_url: ArchiveUrl = "./data/archive"
    keep_minutes: Duration | None = None
    archive_endpoint: Endpoint = ""
    archive_region: Text = "us-east-1"
    archive_access_key: str = ""
    archive_secret_key: SecretStr | None = None
    price_source: Annotated[Names, Field(min_length=1)] = ("coinmarketcap",)
    rank_source: Annotated[Names, Field(min_length=1)] = ("coindesk", "coinmarketcap")
    extra_sources: Names = ()
    check_source: Names = ()
    id_table: FilePath | None = None
    api_keys: dict[str, Secret] = {}
    source_urls: dict[str, SourceUrl] = {}
    assets: Annotated[Whole, Field(ge=1, le=5000)] = 1000
    interval: Interval = timedelta(seconds=60)
    max_skew: Duration = timedelta(seconds=60)
    max_age: OptionalDuration = None
    clock_check: Literal["on", "off"] = "on"
    spool_dir: FilePath = Path("data/spool")
    spool_limit: ByteSize = ByteSize(2**30)
    http_host: Host = "127.0.0.1"
    http_port: Port = 6667
    http_safe_port: Port = 8667
    metrics_host: Host = "127.0.0.1"
    metrics_port: Port | None = None
    http_connections: Annotated[Whole, Field(ge=1, le=100_000)] = 800
    http_workers: Workers = 1
    client_keys: ClientKeys = {}
    client_key: Secret | None = None
    rate_limit: Rate = None
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    notice: Annotated[str, Field(max_length=500)] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    log_file: FilePath | None = None
    _ignored: tuple[str, ...] = PrivateAttr(())

    @field_validator("metrics_port")
    @classmethod
    def _metrics_have_their_own_port(cls, port: int | None, others: ValidationInfo) -> int | None:
        if port and port in (others.data.get("http_port"), others.data.get("http_safe_port")):
            raise ValueError("must differ from HTTP_PORT and HTTP_SAFE_PORT: this port needs no key")
        return port

    @property
    def listeners(self) -> dict[str, tuple[str, int]]:
        """The host and port of each address that the API listens on, by the setting of the port."""
        ports = {"http_port": (self.http_host, self.http_port)}
        if self.http_safe_port != self.http_port:
            ports["http_safe_port"] = self.http_host, self.http_safe_port
        if self.metrics_port:
            ports["metrics_port"] = self.metrics_host, self.metrics_port
        return ports

    @property
    def minutes_kept(self) -> timedelta:
        """How long the embedded store keeps minutes."""
        return self.keep_minutes or timedelta(days=30 if self.archive_url == NONE else 3)

    @property
    def ignored_variables(self) -> tuple[str, ...]:
        """The names of variables that are not ours although they have our prefix."""
        return self._ignored

    def ignoring(self, variables: tuple[str, ...]) -> Self:
        """A copy that names the variables it ignored."""
        copy = self.model_copy()
        copy._ignored = variables
        return copy

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret that is set."""
        own = (self.influx_token, self.archive_secret_key, self.client_key, *self.api_keys.values())
        return tuple(secret for secret in own if secret)

    @property
    def redaction(self) -> Redaction:
        """Hides the secrets, and the parts of other values that may be one. Names of sources are in every event."""
        others = [str(value) for name, value in self if isinstance(value, _TEXTS) and name not in _NAMES_OF_SOURCES]
        return Redaction([*(secret.get_secret_value() for secret in self.secrets), *parts_like_keys(others)])
