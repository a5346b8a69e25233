"""The vendors' APIs by path: which vendor answers which request."""

from collections.abc import Mapping
from datetime import datetime

from lib.clock import Clock
from lib.simulator.answer import Answer
from lib.simulator.coindesk import CoinDesk
from lib.simulator.coingecko import CoinGecko
from lib.simulator.coinmarketcap import CoinMarketCap
from lib.simulator.coinpaprika import CoinPaprika
from lib.simulator.recorded import Recordings
from lib.simulator.refusals import Refusal, coindesk, coingecko, coinmarketcap
from lib.simulator.replay import Replay
from lib.simulator.vendor import COINDESK, COINGECKO, COINPAPRIKA, Feed, Plan, Serve, Usage


def routes(feed: Feed, clock: Clock, plan: Plan, coindesk_plan: Plan | None) -> dict[str, Serve]:
    """What each path answers. `plan` is that of CoinMarketCap's keys; an unlimited one is for every vendor."""
    others = plan if plan == Plan.unlimited() else None
    vendors = (
        CoinMarketCap(feed, Usage(plan, clock), clock),
        CoinDesk(feed, Usage(coindesk_plan or others or COINDESK, clock), clock),
        CoinPaprika(feed, Usage(others or COINPAPRIKA, clock), clock),
        CoinGecko(feed, Usage(others or COINGECKO, clock), clock),
    )
    served: dict[str, Serve] = {}
    for vendor in vendors if not isinstance(feed, Replay) or feed.has_lists else ():
        served |= vendor.routes()
    if isinstance(feed, Replay):
        served |= _recorded(feed.recordings, clock)
    return {**served, "/{path:path}": lambda request, _: _unknown(request.url.path, clock())}


def _recorded(recordings: Recordings, clock: Clock) -> Mapping[str, Serve]:
    def serve(path: str) -> Serve:
        return lambda request, _: recordings.answer(path, request.query_params, clock())

    return {path: serve(path) for path in recordings.by_path}


def _unknown(path: str, now: datetime) -> Answer:
    """A 404 in the envelope of the vendor that the path looks like."""
    envelope = coinmarketcap
    if path.startswith(("/asset/", "/admin/")):
        envelope = coindesk
    elif path.startswith("/api/v3/"):
        envelope = coingecko
    return envelope(Refusal(404, 404, "Not Found"), now)
