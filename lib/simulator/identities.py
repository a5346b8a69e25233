"""How others identify the market's assets: the contract on a chain, CoinPaprika's id, CoinGecko's id.

None of these ids is CoinMarketCap's, though some look like one: CoinGecko's mostly equal CoinMarketCap's slugs, two
of them are those of each other's assets, and one foreign asset has the number of another asset as its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import numpy as np

from lib.simulator import noise
from lib.simulator.assets import PLAIN
from lib.simulator.market import Listing, Row


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain, by the ids of CoinMarketCap, CoinGecko and CoinPaprika."""

    cmc_id: int
    name: str
    symbol: str
    slug: str
    coingecko: str
    coinpaprika: str
    token_type: str


CHAINS: Final = (
    Chain(1027, "Ethereum", "ETH", "ethereum", "ethereum", "eth-ethereum", "ERC20"),
    Chain(1839, "BNB", "BNB", "bnb", "binance-smart-chain", "bnb-binance-coin", "BEP20"),
)

_OTHER_SLUGS: Final[Mapping[str, str]] = {
    "bnb": "binancecoin",
    "xrp": "ripple",
    "avalanche": "avalanche-2",
    "simulated-twin-a": "simulated-twin-b",
    "simulated-twin-b": "simulated-twin-a",
}
_FOREIGN_ID, _FOREIGN_SYMBOL, _FOREIGN_NAME = "825", "SIMNUM", "Simulated Foreign Number"
_PRICE, _VOLUME = 201, 202


def entries(listing: Listing, provider: str) -> list[Row]:
    """The market as a provider sees it, by market cap: prices and volumes of its own, and a foreign asset."""
    keys = noise.keys(int.from_bytes(provider.encode()[:7]), listing.ids)
    seen = replace(
        listing,
        price=listing.price * (1 + 0.001 * noise.signed(keys, _PRICE)),
        volume_24h=listing.volume_24h * np.exp(0.05 * noise.signed(keys, _VOLUME)),
    )
    updated = int(listing.at.timestamp())
    foreign = Row(None, _FOREIGN_SYMBOL, _FOREIGN_NAME, _FOREIGN_ID, (), 2.5, 6e8, 4e8, 0.0, updated)
    rows = [*seen.rows(np.arange(len(listing.ids))), foreign]
    return sorted(rows, key=lambda row: row.market_cap, reverse=True)


def contract(cmc_id: int | None) -> tuple[Chain, str] | None:
    """The chain and address of an invented token; None for a coin, and for the well-known assets."""
    if cmc_id is None or cmc_id <= PLAIN or cmc_id % 3 == 0:
        return None
    return CHAINS[cmc_id % 3 - 1], "0x" + sha256(str(cmc_id).encode()).hexdigest()[:40]


def platform(cmc_id: int | None) -> dict[str, Any] | None:
    """The contract as CoinMarketCap's `platform`."""
    if (token := contract(cmc_id)) is None:
        return None
    chain, address = token
    return {
        "id": chain.cmc_id,
        "name": chain.name,
        "symbol": chain.symbol,
        "slug": chain.slug,
        "token_address": address,
    }


def coingecko_id(row: Row) -> str:
    """CoinGecko's id of an asset."""
    return _OTHER_SLUGS.get(row.slug, row.slug)


def coinpaprika_id(row: Row) -> str:
    """CoinPaprika's id of an asset."""
    return row.slug if row.cmc_id is None else f"{row.symbol.lower().lstrip('+')}-{row.slug}"
