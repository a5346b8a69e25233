"""What two providers' texts are compared by."""

import html
import unicodedata

from lib.ids.asset import Contract


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


def only_one_is_wrapped(symbol: str, name: str, other_symbol: str, other_name: str) -> bool:
    """Whether one of two assets is the wrapped form of the other: lists give a coin its wrapped token's contract."""
    a, b = text_key(symbol), text_key(other_symbol)
    return a == f"w{b}" or b == f"w{a}" or _says_wrapped(name) != _says_wrapped(other_name)


def _says_wrapped(name: str) -> bool:
    return text_key(name).startswith("wrapped")
