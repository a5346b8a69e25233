"""The vendors' APIs by path: which vendor answers which request."""

from collections.abc import Callable, Mapping
from datetime import datetime

from starlette.requests import Request

from lib.clock import Clock
from lib.simulator import coindesk, coingecko, coinmarketcap, coinpaprika, refusals
from lib.simulator.answer import Answer
from lib.simulator.coindesk import CoinDesk
from lib.simulator.coingecko import CoinGecko
from lib.simulator.coinmarketcap import CoinMarketCap
from lib.simulator.coinpaprika import CoinPaprika
from lib.simulator.feed import Feed
from lib.simulator.recorded import Recordings
from lib.simulator.refusals import Refusal
from lib.simulator.replay import Replay
from lib.simulator.usage import COINDESK, COINGECKO, COINPAPRIKA, Plan, Usage

Serve = Callable[[Request, datetime | None], Answer]
"""Answers a request; with an instant, its values are those of that instant."""


def routes(feed: Feed, clock: Clock, plan: Plan, coindesk_plan: Plan | None) -> dict[str, Serve]:
    """What each path answers. `plan` is that of CoinMarketCap's keys; an unlimited one is for every vendor."""
    others = plan if plan == Plan.unlimited() else None
    simulated = {
        **_coinmarketcap(CoinMarketCap(feed, Usage(plan, clock), clock)),
        **_coindesk(CoinDesk(feed, Usage(coindesk_plan or others or COINDESK, clock), clock)),
        **_coinpaprika(CoinPaprika(feed, Usage(others or COINPAPRIKA, clock), clock)),
        **_coingecko(CoinGecko(feed, Usage(others or COINGECKO, clock), clock)),
    }
    return {
        **(simulated if not isinstance(feed, Replay) or feed.has_lists else {}),
        **(_recorded(feed.recordings, clock) if isinstance(feed, Replay) else {}),
        "/{path:path}": lambda request, _: _unknown(request.url.path, clock()),
    }


def _recorded(recordings: Recordings, clock: Clock) -> Mapping[str, Serve]:
    def serve(path: str) -> Serve:
        return lambda request, _: recordings.answer(path, request.query_params, clock())

    return {path: serve(path) for path in recordings.by_path}


def _coinmarketcap(vendor: CoinMarketCap) -> Mapping[str, Serve]:
    def listings(request: Request, frozen: datetime | None) -> Answer:
        return vendor.listings(request.url.path, request.query_params, request.headers, _address(request), frozen)

    def historical(request: Request, frozen: datetime | None) -> Answer:
        return vendor.historical(request.url.path, request.query_params, request.headers)

    def assets(request: Request, frozen: datetime | None) -> Answer:
        return vendor.map(request.url.path, request.query_params, request.headers, _address(request))

    return {
        **{base + path: listings for path in coinmarketcap.LISTINGS for base in ("", coinmarketcap.KEYLESS)},
        **dict.fromkeys(coinmarketcap.HISTORICAL, historical),
        **dict.fromkeys((coinmarketcap.MAP, coinmarketcap.KEYLESS + coinmarketcap.MAP), assets),
        coinmarketcap.KEY_INFO: lambda request, _: vendor.key_info(request.headers),
    }


def _coindesk(vendor: CoinDesk) -> Mapping[str, Serve]:
    return {
        coindesk.TOP_LIST: lambda request, frozen: vendor.top_list(request.query_params, request.headers, frozen),
        coindesk.RATE_LIMIT: lambda request, _: vendor.rate_limit(request.headers),
    }


def _coinpaprika(vendor: CoinPaprika) -> Mapping[str, Serve]:
    return {
        coinpaprika.TICKERS: lambda request, frozen: vendor.tickers(request.query_params, _address(request), frozen),
        coinpaprika.CONTRACTS: lambda request, _: vendor.chains(_address(request)),
        coinpaprika.CHAIN: lambda request, _: vendor.contracts(request.path_params["chain"], _address(request)),
    }


def _coingecko(vendor: CoinGecko) -> Mapping[str, Serve]:
    def markets(request: Request, frozen: datetime | None) -> Answer:
        return vendor.markets(request.query_params, request.headers, _address(request), frozen)

    return {
        coingecko.MARKETS: markets,
        coingecko.COINS: lambda request, _: vendor.coins(request.query_params, request.headers, _address(request)),
        coingecko.PLATFORMS: lambda request, _: vendor.platforms(request.headers, _address(request)),
    }


def _unknown(path: str, now: datetime) -> Answer:
    """A 404 in the envelope of the vendor that the path looks like."""
    if path.startswith(("/asset/", "/admin/")):
        return refusals.coindesk(Refusal(404, 404, "Not Found"))
    if path.startswith("/api/v3/"):
        return refusals.coingecko(404, 404, "Not Found")
    return refusals.coinmarketcap(Refusal(404, 404, "Not Found"), now)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
