"""The headers that report what a list is made from: everything its JSON says beside the rows."""

from urllib.parse import quote

from lib.clock import isoformat
from query_api.asof.top_list import TopList

_TIMES = ("requested-at", "price-time", "rank-time", "backfilled")

EXPOSED_HEADERS = (
    "etag", "link", "retry-after", "content-disposition", "content-location", "x-notice",
    *(f"{prefix}-{name}" for prefix in ("x", "x-from", "x-to") for name in _TIMES),
    "x-price-source", "x-rank-source", "x-price-snapshot", "x-rank-snapshot", "x-known-at", "x-resolution",
    "x-newest-update", "x-unchanged",
    "x-filtered", "x-missing", "x-coverage", "x-from", "x-to", "x-steps",
)  # fmt: skip
"""The headers that a page of a site named in CORS_ORIGINS may read."""


def list_headers(top: TopList) -> dict[str, str]:
    """All of them."""
    return {
        **time_headers(top),
        "x-price-source": top.pair.price.source,
        "x-rank-source": top.pair.rank.source,
        "x-price-snapshot": top.pair.price.hash,
        "x-rank-snapshot": top.pair.rank.hash,
        "x-known-at": isoformat(top.known_at),
        "x-resolution": top.resolution,
        **_age_headers(top),
        **filter_headers(top),
    }


def _age_headers(top: TopList) -> dict[str, str]:
    """The newest `price_updated_at` of the rows, if any, and the sides whose source sent the same values again."""
    newest = max((at for at in top.rows["price_updated_at"] if at), default=None)
    sides = {"price": top.pair.price, "rank": top.pair.rank}
    unchanged = [name for name, marker in sides.items() if marker.unchanged]
    return {
        **({"x-newest-update": newest} if newest else {}),
        **({"x-unchanged": ", ".join(unchanged)} if unchanged else {}),
    }


def time_headers(top: TopList, prefix: str = "x") -> dict[str, str]:
    """The instant asked for, the ticks that answer it, and which of them were backfilled, if any."""
    backfilled = {f"{prefix}-backfilled": ", ".join(top.pair.backfilled)} if top.pair.backfilled else {}
    return {
        f"{prefix}-requested-at": isoformat(top.at),
        f"{prefix}-price-time": isoformat(top.pair.price.tick),
        f"{prefix}-rank-time": isoformat(top.pair.rank.tick),
        **backfilled,
    }


def filter_headers(top: TopList) -> dict[str, str]:
    """What the filters left out, and the names asked for that are missing; nothing without filters."""
    if not top.filtered:
        return {}
    return {
        "x-filtered": ", ".join(f"{name}={count}" for name, count in top.filtered.counts.items()),
        "x-missing": ", ".join(quote(name) for name in top.filtered.missing),
    }
