"""The tables `[id]` and `[id.contracts]` of a source file: how CoinMarketCap's ids are found."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from lib.ids.asset import CHAINS
from lib.source.expression import check_expression
from lib.source.part import Jmes, Part, UrlPath

OWN, OWN_SYMBOL, OWN_NAME, OWN_USD = "id.own", "id.symbol", "id.name", "id.usd"
"""What is read from each record beside the fields, by column."""


def _known_chains(chains: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(set(chains.values()) - CHAINS):
        raise ValueError(f"{unknown[0]!r} is not a chain; chains are {', '.join(sorted(CHAINS))}")
    return chains


class Contracts(Part):
    """Where the provider lists the contracts of its assets, which are read once a day.

    `{chain}` in `path` asks once for each chain; in `address` it stands for the provider's name of the chain.
    `chains` translates those names to ours.
    """

    path: UrlPath
    params: dict[str, str | int | float] = {}
    at: Jmes
    own: Jmes
    symbol: Jmes | None = None
    name: Jmes | None = None
    address: str
    chains: Annotated[dict[str, str], AfterValidator(_known_chains)]

    @model_validator(mode="after")
    def _has_a_chain(self) -> Self:
        if "{chain}" not in self.path + self.address:
            raise ValueError("{chain} must be in path or in address, such as path = '/v1/contracts/{chain}'")
        check_expression(self.address.replace("{chain}", "x"))
        return self


class Ids(Part):
    """How the CoinMarketCap ids of a provider's own ids are found: see docs/sources.md.

    `slug_form` is how the provider makes its ids. `overrides` is a table of ids beside the file.
    """

    map: Literal["coinmarketcap_map"] = "coinmarketcap_map"
    own: Jmes
    symbol: Jmes
    name: Jmes
    usd: Jmes
    slug_form: Literal["", "{slug}", "{symbol}-{slug}"] = ""
    overrides: Path | None = None
    contracts: Contracts | None = None

    @property
    def columns(self) -> dict[str, str]:
        """The expression of each of these columns."""
        return {OWN: self.own, OWN_SYMBOL: self.symbol, OWN_NAME: self.name, OWN_USD: self.usd}
