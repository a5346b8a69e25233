"""The assets on either side: those of CoinMarketCap's map, and those of another provider."""

from collections.abc import Mapping
from typing import Final, NamedTuple

COIN_IDS: Final[Mapping[int, str]] = {
    1027: "ethereum",
    1839: "bnb",
    5426: "solana",
    3890: "polygon",
    11841: "arbitrum",
    5805: "avalanche",
    1958: "tron",
    3513: "fantom",
    11840: "optimism",
    4256: "kaia",
    2010: "cardano",
    3635: "cronos",
    4066: "chiliz",
    6892: "multiversx",
    11419: "ton",
    20947: "sui",
    21794: "aptos",
    4642: "hedera",
    52: "xrp",
    5567: "celo",
    512: "stellar",
    3945: "harmony",
    6535: "near",
    6836: "moonbeam",
    27075: "mantle",
}
"""Our names of chains by `platform.id` of CoinMarketCap's map, where that is the id of the chain's coin."""
CHAIN_IDS: Final[Mapping[int, str]] = {
    1: "ethereum",
    14: "bnb",
    16: "solana",
    25: "polygon",
    51: "arbitrum",
    28: "avalanche",
    47: "tron",
    24: "fantom",
    42: "optimism",
    26: "kaia",
    29: "cardano",
    68: "cronos",
    232: "chiliz",
    38: "multiversx",
    173: "ton",
    176: "sui",
    141: "aptos",
    93: "hedera",
    55: "xrp",
    35: "celo",
    27: "stellar",
    48: "harmony",
    60: "near",
    50: "moonbeam",
    195: "mantle",
    199: "base",
    183: "zksync",
    210: "blast",
    189: "pulsechain",
    198: "linea",
}
"""The same where `platform.id` numbers the chains themselves: maps of either kind were seen."""
CHAINS: Final = frozenset({*COIN_IDS.values(), *CHAIN_IDS.values()})


class Contract(NamedTuple):
    """A token's address on a chain."""

    chain: str
    address: str


class CoinMarketCapAsset(NamedTuple):
    """An asset of CoinMarketCap's map. `former` are earlier pairs of symbol and name."""

    cmc_id: int
    symbol: str
    name: str
    slug: str = ""
    contract: Contract | None = None
    former: tuple[tuple[str, str], ...] = ()


class ProviderAsset(NamedTuple):
    """An asset of another provider, under its own id."""

    own: str
    symbol: str
    name: str
    contracts: tuple[Contract, ...] = ()


def chain_names(platform_ids: frozenset[int]) -> Mapping[int, str]:
    """Our names of the chains in a map with these platform ids. 1027 is Ethereum's coin, and no number of a chain."""
    return COIN_IDS if 1027 in platform_ids else CHAIN_IDS
