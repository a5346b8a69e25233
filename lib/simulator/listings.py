"""CoinMarketCap's list: its parameters, and its records in v1's shape."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lib.simulator.answer import stamp_seconds
from lib.simulator.identities import platform
from lib.simulator.market import Listing, Row
from lib.text import is_digits

RATES: Final[Mapping[str, tuple[int, float]]] = {
    "USD": (2781, 1.0),
    "EUR": (2790, 0.92),
    "GBP": (2791, 0.79),
    "JPY": (2797, 150.0),
}
"""Per currency: its CoinMarketCap id and its fixed rate to one dollar."""

_IGNORED = {"aux", "cryptocurrency_type", "tag"}


class BadParameter(ValueError):
    """A parameter the vendor would refuse; the text is the vendor's."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request for a part of the list."""

    start: int = 1
    limit: int = 100
    convert: str = "USD"
    sort: str = "market_cap"
    descending: bool = True

    @classmethod
    def of(cls, params: Mapping[str, str]) -> "Ask":
        """The request of these query parameters; raises BadParameter."""
        for name in params.keys() - {"start", "limit", "convert", "sort", "sort_dir"} - _IGNORED:
            raise BadParameter(f'"{name}" is not allowed')
        return cls(
            _whole(params, "start", 1, 10**6),
            _whole(params, "limit", 100, 5000),
            _one_of(params, "convert", "USD", tuple(RATES)),
            _one_of(params, "sort", "market_cap", ("market_cap", "volume_24h")),
            _one_of(params, "sort_dir", "desc", ("desc", "asc")) == "desc",
        )


def _whole(params: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = params.get(name, str(default))
    if not is_digits(text, 9):
        raise BadParameter(f'"{name}" must be a number')
    if not 1 <= int(text) <= most:
        limit = "larger than or equal to 1" if int(text) < 1 else f"less than or equal to {most}"
        raise BadParameter(f'"{name}" must be {limit}')
    return int(text)


def _one_of(params: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = params.get(name, default)
    if text not in allowed:
        raise BadParameter(f'"{name}" must be one of [{", ".join(allowed)}]')
    return text


def records(listing: Listing, ask: Ask) -> list[dict[str, Any]]:
    """The requested part of a listing, in the requested order."""
    by_cap, rank = _by_cap(listing)
    order = by_cap if ask.sort == "market_cap" else np.lexsort((listing.ids, -listing.volume_24h))
    chosen = (order if ask.descending else order[::-1])[ask.start - 1 : ask.start - 1 + ask.limit]
    rate = RATES[ask.convert][1]
    return [
        _record(row, place, ask.convert, rate)
        for row, place in zip(listing.rows(chosen), rank[chosen].tolist(), strict=True)
    ]


def _record(row: Row, place: int, currency: str, rate: float) -> dict[str, Any]:
    updated = f"{stamp_seconds(row.last_updated)[:-1]}.000Z"
    supply = row.market_cap / row.price
    return {
        "id": row.cmc_id,
        "name": row.name,
        "symbol": row.symbol,
        "slug": row.slug,
        "tags": row.tags,
        "max_supply": None,
        "circulating_supply": supply,
        "total_supply": supply,
        "platform": platform(row.cmc_id),
        "cmc_rank": place,
        "last_updated": updated,
        "quote": {
            currency: {
                "price": row.price * rate,
                "volume_24h": row.volume_24h * rate,
                "percent_change_24h": row.percent_change_24h,
                "market_cap": row.market_cap * rate,
                "last_updated": updated,
            }
        },
    }


def mapped(listing: Listing) -> list[dict[str, Any]]:
    """Every id of a listing, as CoinMarketCap's map lists it."""
    _, rank = _by_cap(listing)
    by_id = np.argsort(listing.ids)
    return [
        {
            "id": row.cmc_id,
            "rank": place,
            "name": row.name,
            "symbol": row.symbol,
            "slug": row.slug,
            "is_active": 1,
            "status": 1,
            "platform": platform(row.cmc_id),
        }
        for row, place in zip(listing.rows(by_id), rank[by_id].tolist(), strict=True)
    ]


def _by_cap(listing: Listing) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows in the order of market cap, and each row's place in it."""
    by_cap = np.lexsort((listing.ids, -listing.market_cap))
    rank = np.empty(len(by_cap), dtype=np.int64)
    rank[by_cap] = np.arange(1, len(by_cap) + 1)
    return by_cap, rank
