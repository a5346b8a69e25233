"""Every setting, with its type, default and an example."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

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

_TEXTS = (str, Path, tuple, dict)
_NAMES = ("price_source", "rank_source", "extra_sources", "check_source", "ignored_variables")


class Settings(BaseModel):
    """Every setting with its default. `load` makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    store_url: StoreUrl = Field(
        default="sqlite:///./data/topcoins.db", examples=["sqlite:///./data/topcoins.db or http://localhost:8086"]
    )
    store_read_url: ServerUrl | None = Field(default=None, examples=["http://replica:8086"])
    influx_org: Text = Field(default="topcoins", examples=["topcoins"])
    influx_bucket: Text = Field(default="market", examples=["market"])
    influx_token: Secret | None = None
    archive_url: ArchiveUrl = Field(default="./data/archive", examples=["./data/archive or s3://bucket/prefix"])
    keep_minutes: Duration | None = Field(default=None, examples=["3d"])
    archive_endpoint: Endpoint = Field(default="", examples=["http://seaweedfs:8333"])
    archive_region: Text = Field(default="us-east-1", examples=["eu-central-1"])
    archive_access_key: str = Field(default="", examples=["AKIAIOSFODNN7EXAMPLE"])
    archive_secret_key: SecretStr | None = None
    price_source: Annotated[Names, Field(min_length=1)] = Field(default=("coinmarketcap",), examples=["coinmarketcap"])
    rank_source: Annotated[Names, Field(min_length=1)] = Field(
        default=("coindesk", "coinmarketcap"), examples=["coindesk,coinmarketcap"]
    )
    extra_sources: Names = Field(default=(), examples=["/etc/topcoins/market_cap.toml"])
    check_source: Names = Field(default=(), examples=["coinpaprika"])
    id_table: FilePath | None = Field(default=None, examples=["/etc/topcoins/ids.csv"])
    api_keys: dict[str, Secret] = {}
    source_urls: dict[str, SourceUrl] = Field(default={}, examples=["https://pro-api.coinmarketcap.com"])
    assets: Annotated[Whole, Field(ge=1, le=5000)] = Field(default=1000, examples=["1000"])
    interval: Interval = Field(default=timedelta(seconds=60), examples=["60s"])
    max_skew: Duration = Field(default=timedelta(seconds=60), examples=["60s"])
    max_age: OptionalDuration = Field(default=None, examples=["10m"])
    clock_check: Literal["on", "off"] = Field(default="on", examples=["off"])
    spool_dir: FilePath = Path("data/spool")
    spool_limit: ByteSize = Field(default=ByteSize(2**30), examples=["1GiB"])
    http_host: Host = Field(default="127.0.0.1", examples=["127.0.0.1"])
    http_port: Port = Field(default=6667, examples=["6667"])
    http_safe_port: Port = Field(default=8667, examples=["8667"])
    metrics_host: Host = Field(default="127.0.0.1", examples=["127.0.0.1"])
    metrics_port: Port | None = Field(default=None, examples=["9668"])
    http_connections: Annotated[Whole, Field(ge=1, le=100_000)] = Field(default=800, examples=["800"])
    http_workers: Workers = Field(default=1, examples=["2 or auto"])
    client_keys: ClientKeys = Field(
        default={}, examples=["grafana:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    )
    client_key: Secret | None = None
    rate_limit: Rate = Field(default=None, examples=["600/minute"])
    cors_origins: Origins = Field(default=(), examples=["https://dashboard.example.com"])
    trusted_proxies: Networks = Field(default=(), examples=["10.0.0.7,172.18.0.0/16"])
    notice: Annotated[str, Field(max_length=500)] = Field(default="", examples=["The market is simulated"])
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", examples=["info"])
    log_format: Literal["auto", "console", "json"] = Field(default="auto", examples=["json"])
    log_file: FilePath | None = Field(default=None, examples=["/var/log/topcoins.log"])
    ignored_variables: tuple[str, ...] = ()
    """The names of variables that are not ours although they have our prefix."""

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
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret that is set."""
        own = (self.influx_token, self.archive_secret_key, self.client_key, *self.api_keys.values())
        return tuple(secret for secret in own if secret)

    @property
    def redaction(self) -> Redaction:
        """Hides the secrets, and the parts of other values that may be one. Names of sources are in every event."""
        others = [str(value) for name, value in self if isinstance(value, _TEXTS) and name not in _NAMES]
        return Redaction([*(secret.get_secret_value() for secret in self.secrets), *parts_like_keys(others)])


EXAMPLES = {name: str(field.examples[0]) for name, field in Settings.model_fields.items() if field.examples}
"""Valid values, for errors; some show two forms."""
