"""What an upstream sends back, before it goes on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer. JSON unless `media` says otherwise."""

    body: bytes
    status: int = 200
    media: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def stamp(at: datetime) -> str:
    """An instant as CoinMarketCap writes it: UTC with milliseconds and a `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=1024)  # the assets of a list share a few times
def stamp_seconds(seconds: int) -> str:
    """An epoch second as an RFC 3339 time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
