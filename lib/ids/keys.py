"""What two providers' texts are compared by."""

import html
import unicodedata

from lib.ids.asset import CoinMarketCapAsset, Contract, ProviderAsset


def text_key(text: str) -> str:
    """Letters and digits of a name or symbol, without accents, in lower case; of a text without any, the text."""
    plain = html.unescape(text).strip()
    folded = unicodedata.normalize("NFKD", plain).casefold()
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", folded))) or folded.strip()


def name_keys(symbol: str, name: str) -> list[tuple[str, str]]:
    """The keys of a symbol and a name. CoinMarketCap writes two symbols as one text: `FCT,FCT2`."""
    name_key = text_key(name)
    symbols = [text_key(part) for part in symbol.split(",")]
    return [(key, name_key) for key in symbols if key and name_key]


def contract_key(contract: Contract) -> Contract:
    """The contract as it is compared: hexadecimal addresses in lower case, others as they are."""
    address = contract.address.strip()
    return Contract(contract.chain, address.lower() if address[:2] in ("0x", "0X") else address)


def only_one_is_wrapped(one: ProviderAsset, other: CoinMarketCapAsset) -> bool:
    """Whether one of two assets is the wrapped form of the other: lists give a coin its wrapped token's contract."""
    a, b = text_key(one.symbol), text_key(other.symbol)
    one_says, other_says = (text_key(each.name).startswith("wrapped") for each in (one, other))
    return a == f"w{b}" or b == f"w{a}" or one_says != other_says
