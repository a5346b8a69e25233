"""CoinGecko's API: markets page by page, the list of coins with their contracts, and the chains."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson
from starlette.requests import Request

from lib.simulator.answer import Answer, stamp_seconds
from lib.simulator.identities import CHAINS, coingecko_id, contract, entries
from lib.simulator.market import Row
from lib.simulator.refusals import Refusal, RequestRefused, coingecko
from lib.simulator.vendor import Exceeded, Serve, Vendor, address
from lib.text import is_digits

MARKETS: Final = "/api/v3/coins/markets"
COINS: Final = "/api/v3/coins/list"
PLATFORMS: Final = "/api/v3/asset_platforms"

_HEADER: Final = "x-cg-demo-api-key"
_MOST_PER_PAGE: Final = 250
_ORDERS: Final = ("market_cap_desc", "market_cap_asc", "volume_desc", "volume_asc")
_RETRY_AFTER: Final = {"retry-after": "60"}
_LIMITS: Final[Mapping[Exceeded, str]] = {
    "minute": "coingecko-429",
    "address": "coingecko-429",
    "day": "coingecko-10006",
    "month": "coingecko-10006",
}


class CoinGecko(Vendor):
    """Answers with a demo key or without one, and counts each request, refused ones as well."""

    def routes(self) -> Mapping[str, Serve]:
        """What each path answers."""
        return {MARKETS: self.markets, COINS: self.coins, PLATFORMS: self.platforms}

    def markets(self, request: Request, frozen: datetime | None) -> Answer:
        """One page of the markets; an empty one past the end."""
        self._count(request)
        query = {"order": "market_cap_desc", "per_page": "100", "page": "1", **request.query_params}
        if wrong := _wrong(query):
            raise RequestRefused(coingecko(Refusal(422, 422, wrong), self.clock()))
        listed = entries(self.feed.listing(frozen or self.clock()), "coingecko")
        order, _, direction = query["order"].rpartition("_")
        ranks = {id(entry): rank for rank, entry in enumerate(listed, 1)}
        if order == "volume":
            listed.sort(key=lambda entry: entry.volume_24h, reverse=True)
        if direction == "asc":
            listed.reverse()
        page, size = int(query["page"]), min(int(query["per_page"]), _MOST_PER_PAGE)
        chosen = listed[(page - 1) * size : page * size]
        return Answer(orjson.dumps([_market(entry, ranks[id(entry)]) for entry in chosen]))

    def coins(self, request: Request, frozen: datetime | None) -> Answer:
        """Every coin's id, symbol and name, and its contracts if they are asked for."""
        self._count(request)
        with_platforms = request.query_params.get("include_platform") == "true"
        listed = entries(self.feed.listing(self.clock()), "coingecko")
        rows = [_coin(entry, with_platforms=with_platforms) for entry in listed]
        return Answer(orjson.dumps(sorted(rows, key=lambda row: str(row["id"]))))

    def platforms(self, request: Request, frozen: datetime | None) -> Answer:
        """The chains."""
        self._count(request)
        rows = [{"id": chain.coingecko, "name": chain.name, "native_coin_id": chain.slug} for chain in CHAINS]
        return Answer(orjson.dumps(rows))

    def _count(self, request: Request) -> None:
        key = request.headers.get(_HEADER, "")
        if key.startswith("bad"):
            raise self.refused("coingecko-10002")
        client = key or address(request)
        exceeded = self.usage.ask(client, keyless=not key)
        self.usage.charge(client, 1)
        if exceeded:
            raise RequestRefused(replace(self.refused(_LIMITS[exceeded]).answer, headers=_RETRY_AFTER))


def _wrong(query: Mapping[str, str]) -> str | None:
    """What the vendor would say about the first wrong parameter."""
    if query.get("vs_currency", "").lower() != "usd":
        return "Missing parameter vs_currency" if "vs_currency" not in query else "invalid vs_currency"
    if query["order"] not in _ORDERS:
        return "invalid order"
    numbers = (query["page"], query["per_page"])
    if not all(is_digits(text, 5) and int(text) > 0 for text in numbers):
        return "invalid page or per_page"
    return None


def _market(entry: Row, rank: int) -> dict[str, Any]:
    own = coingecko_id(entry)
    return {
        "id": own,
        "symbol": entry.symbol.lower(),
        "name": entry.name,
        # The number is CoinGecko's own. It looks like CoinMarketCap's id and is that of another asset.
        "image": f"https://coin-images.coingecko.com/coins/images/{rank}/large/{own}.png",
        "current_price": entry.price,
        "market_cap": int(entry.market_cap),
        "market_cap_rank": rank,
        "total_volume": entry.volume_24h,
        "price_change_percentage_24h": round(entry.percent_change_24h, 5),
        "circulating_supply": entry.market_cap / entry.price if entry.price else None,
        "roi": None,
        "last_updated": stamp_seconds(entry.last_updated),
    }


def _coin(entry: Row, *, with_platforms: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": coingecko_id(entry), "symbol": entry.symbol.lower(), "name": entry.name}
    if with_platforms:
        token = contract(entry.cmc_id)
        row["platforms"] = {token[0].coingecko: token[1]} if token else {}
    return row
