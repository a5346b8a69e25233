"""The assets on either side: those of CoinMarketCap's map, and those of another provider."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Final, NamedTuple

from pydantic import BeforeValidator

_CHAINS: Final[Sequence[tuple[str, int | None, int]]] = (
    ("ethereum", 1027, 1),
    ("bnb", 1839, 14),
    ("solana", 5426, 16),
    ("polygon", 3890, 25),
    ("arbitrum", 11841, 51),
    ("avalanche", 5805, 28),
    ("tron", 1958, 47),
    ("fantom", 3513, 24),
    ("optimism", 11840, 42),
    ("kaia", 4256, 26),
    ("cardano", 2010, 29),
    ("cronos", 3635, 68),
    ("chiliz", 4066, 232),
    ("multiversx", 6892, 38),
    ("ton", 11419, 173),
    ("sui", 20947, 176),
    ("aptos", 21794, 141),
    ("hedera", 4642, 93),
    ("xrp", 52, 55),
    ("celo", 5567, 35),
    ("stellar", 512, 27),
    ("harmony", 3945, 48),
    ("near", 6535, 60),
    ("moonbeam", 6836, 50),
    ("mantle", 27075, 195),
    ("base", None, 199),
    ("zksync", None, 183),
    ("blast", None, 210),
    ("pulsechain", None, 189),
    ("linea", None, 198),
)
"""Our names of chains; CoinMarketCap's ids of their coins, where they have one; and its numbers of the chains."""
CHAINS: Final = frozenset(name for name, _, _ in _CHAINS)


class Contract(NamedTuple):
    """A token's address on a chain."""

    chain: str
    address: str


class CoinMarketCapAsset(NamedTuple):
    """An asset of CoinMarketCap's map. `former` are earlier pairs of symbol and name.

    Version 0.2.0 wrote `[]` for no contract.
    """

    cmc_id: int
    symbol: str
    name: str
    slug: str = ""
    contract: Annotated[Contract | None, BeforeValidator(lambda value: value or None)] = None
    former: tuple[tuple[str, str], ...] = ()


class ProviderAsset(NamedTuple):
    """An asset of another provider, under its own id."""

    own: str
    symbol: str
    name: str
    contracts: tuple[Contract, ...] = ()


def chain_names(platform_ids: Collection[int]) -> Mapping[int, str]:
    """Our names of the chains in a map with these values of `platform.id`: maps have the ids of coins, or numbers.

    1027 is Ethereum's coin, and no number of a chain.
    """
    if 1027 in platform_ids:
        return {coin: name for name, coin, _ in _CHAINS if coin}
    return {number: name for name, _, number in _CHAINS}
