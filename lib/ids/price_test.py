"""Do two providers mean the same coin? Their prices of one tick say so, where prices differ at all."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lib.ids.keys import text_key
from lib.ids.rules import PROPOSALS, Rule

CLOSE = 0.05
"""Two prices of one coin are this near: a provider's free data is minutes old."""
FAR = 2.0
"""No coin is this many times its price of minutes ago; one that is may be another coin."""
MOST_OFF = 3
"""A match is set aside when its prices were not close in so many lists in a row: a fast coin is off in one or two."""
SAME = 0.01
"""Prices this near are one price: those that CoinPaprika mixed up differed by less."""
DOLLAR = 0.02
"""A coin whose price is this close to one dollar counts as a stablecoin."""
_COPIES = ("wrapped", "bridged", "peg", "staked")
"""Names of tokens that have the price of another coin."""


class Quote(NamedTuple):
    """CoinMarketCap's price of an asset. `is_copy`: it is a stablecoin or wrapped, so that others have its price."""

    usd: float
    is_copy: bool = False


Quotes = Mapping[int, Quote]
"""Quotes by CoinMarketCap's ids."""


def is_close(usd: float, quote: Quote) -> bool:
    """Whether both prices are of one coin."""
    return quote.usd > 0 and abs(usd / quote.usd - 1) <= CLOSE


def is_far(usd: float | None, quote: Quote | None) -> bool:
    """Whether both prices are there and can't be of one coin."""
    return bool(usd and quote and quote.usd > 0 and usd > 0 and max(usd / quote.usd, quote.usd / usd) >= FAR)


def proves(rule: Rule, name: str, usd: float, quote: Quote) -> bool:
    """Whether the price confirms what a rule found. A proposal needs a price that no other coin has by design."""
    if not is_close(usd, quote):
        return False
    if rule not in PROPOSALS:
        return True
    key = text_key(name)
    return not quote.is_copy and abs(quote.usd - 1) > DOLLAR and not any(word in key for word in _COPIES)


def mixed_up(quotes: Iterable[tuple[str, str, float | None, Quote | None]]) -> set[str]:
    """Of (own id, symbol, price, quote) the ids with the symbol and price of an asset whose price is far off.

    The provider gave two coins one price, so the volume of the right one is wrong as well.
    """
    listed = [(own, text_key(symbol), usd, is_far(usd, quote)) for own, symbol, usd, quote in quotes if usd]
    far = [(symbol, usd) for _, symbol, usd, off in listed if off]
    return {
        own
        for own, symbol, usd, off in listed
        if not off and any(symbol == other and abs(usd / price - 1) <= SAME for other, price in far)
    }
