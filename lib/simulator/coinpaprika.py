"""CoinPaprika's API: all tickers in one answer, and the contracts of a chain. It has no key."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from starlette.requests import Request

from lib.clock import slot
from lib.simulator.answer import Answer, stamp_seconds
from lib.simulator.identities import CHAINS, coinpaprika_id, contract, entries
from lib.simulator.market import Row
from lib.simulator.refusals import Refusal, RequestRefused, coinpaprika
from lib.simulator.vendor import Serve, Vendor, address

TICKERS: Final = "/v1/tickers"
CONTRACTS: Final = "/v1/contracts"
CHAIN: Final = "/v1/contracts/{chain}"

MOST_ROWS: Final = 2000
"""The free plan's list ends here."""
_WITHOUT_CONTRACTS: Final = ("sol-solana", "matic-polygon", "avax-avalanche", "ftm-fantom", "trx-tron")
"""Chains that the vendor lists too. The simulated market has no contract on them."""
_CHAINS: Final = (*(chain.coinpaprika for chain in CHAINS), *_WITHOUT_CONTRACTS)
_UPDATED_EVERY: Final = timedelta(minutes=10)


class CoinPaprika(Vendor):
    """Answers without a key, and counts a request for its address."""

    def routes(self) -> Mapping[str, Serve]:
        """What each path answers."""
        return {TICKERS: self.tickers, CONTRACTS: self.chains, CHAIN: self.contracts}

    def tickers(self, request: Request, frozen: datetime | None) -> Answer:
        """The assets by market cap, updated every ten minutes; there are no pages."""
        self._count(request)
        if request.query_params.get("quotes", "USD").upper() != "USD":
            raise self._wrong(400, "invalid parameters")
        at = slot(frozen or self.clock(), _UPDATED_EVERY)
        listed = entries(self.feed.listing(at), "coinpaprika")
        return Answer(orjson.dumps([_ticker(entry, rank) for rank, entry in enumerate(listed[:MOST_ROWS], 1)]))

    def chains(self, request: Request, frozen: datetime | None) -> Answer:
        """The ids of the chains that have contracts."""
        self._count(request)
        return Answer(orjson.dumps(_CHAINS))

    def contracts(self, request: Request, frozen: datetime | None) -> Answer:
        """The contracts on a chain and the ids of their assets."""
        self._count(request)
        chain = request.path_params["chain"]
        if chain not in _CHAINS:
            raise self._wrong(404, "id not found")
        tokens = [(entry, contract(entry.cmc_id)) for entry in entries(self.feed.listing(self.clock()), "coinpaprika")]
        rows = [
            {"address": token[1], "id": coinpaprika_id(entry), "type": token[0].token_type, "active": True}
            for entry, token in tokens
            if token and token[0].coinpaprika == chain
        ]
        return Answer(orjson.dumps(rows))

    def _count(self, request: Request) -> None:
        if exceeded := self.usage.ask(address(request), keyless=True):
            raise self.refused("coinpaprika-402" if exceeded == "month" else "coinpaprika-429")
        self.usage.charge(address(request), 1)

    def _wrong(self, status: int, message: str) -> RequestRefused:
        return RequestRefused(coinpaprika(Refusal(status, status, message), self.clock()))


def _ticker(entry: Row, rank: int) -> dict[str, Any]:
    return {
        "id": coinpaprika_id(entry),
        "name": entry.name,
        "symbol": entry.symbol,
        "rank": rank,
        "total_supply": int(entry.market_cap / entry.price) if entry.price else 0,
        "max_supply": 0,
        "beta_value": 1.0,
        "first_data_at": "2020-01-01T00:00:00Z",
        "last_updated": stamp_seconds(entry.last_updated),
        "quotes": {
            "USD": {
                "price": entry.price,
                "volume_24h": entry.volume_24h,
                "market_cap": int(entry.market_cap),
                "percent_change_24h": round(entry.percent_change_24h, 2),
            }
        },
    }
