"""The errors the vendors document, verbatim, by name: `cmc-1008`, `coindesk-401`, `minapi-rate-limit`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from lib.simulator.answer import Answer, stamp


@dataclass(frozen=True, slots=True)
class Refusal:
    """A documented error: its HTTP status, the vendor's code, and its words."""

    status: int
    code: int
    message: str


Envelope = Callable[[Refusal, datetime], Answer]
"""Writes a refusal as its vendor does."""


class RequestRefused(Exception):
    """A vendor refuses a request, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


# https://pro.coinmarketcap.com/api/documentation/guides/errors-and-rate-limits
CMC: Final[Mapping[str, Refusal]] = {
    "cmc-400": Refusal(400, 400, 'Invalid value for "id"'),
    "cmc-1001": Refusal(401, 1001, "This API Key is invalid."),
    "cmc-1002": Refusal(401, 1002, "API key missing."),
    "cmc-1003": Refusal(402, 1003, "Your API Key must be activated. Please go to pro.coinmarketcap.com/account/plan."),
    "cmc-1004": Refusal(402, 1004, "Your API Key's subscription plan has expired."),
    "cmc-1005": Refusal(403, 1005, "An API Key is required for this call."),
    "cmc-1006": Refusal(403, 1006, "Your API Key subscription plan doesn't support this endpoint."),
    "cmc-1007": Refusal(403, 1007, "This API Key has been disabled. Please contact support."),
    "cmc-1008": Refusal(
        429, 1008, "You've exceeded your API Key's HTTP request rate limit. Rate limits reset every minute."
    ),
    "cmc-1009": Refusal(429, 1009, "You've exceeded your API Key's daily rate limit."),
    "cmc-1010": Refusal(429, 1010, "You've exceeded your API Key's monthly rate limit."),
    "cmc-1011": Refusal(429, 1011, "You've hit an IP rate limit."),
    "cmc-500": Refusal(500, 500, "An internal server error occurred"),
}

COINDESK: Final[Mapping[str, Refusal]] = {
    "coindesk-401": Refusal(
        401, 2, "API key required, please refer to the documentation at https://developers.coindesk.com/"
    ),
    "coindesk-402": Refusal(
        402, 99, "You have used up the calls of this month, please upgrade your account!"
    ),  # made up
    "coindesk-429": Refusal(429, 99, "You are over your rate limit please upgrade your account!"),
    "coindesk-500": Refusal(500, 500, "Internal Server Error"),
}

# The old min-api answers its errors with HTTP 200.
MINAPI: Final[Mapping[str, Refusal]] = {
    "minapi-unknown-path": Refusal(200, 0, "Path does not exist"),
    "minapi-parameter": Refusal(200, 2, "tsym is a required param."),
    "minapi-rate-limit": Refusal(200, 99, "You are over your rate limit please upgrade your account!"),
}

# Only the status codes of CoinPaprika's limits are documented; the words are made up.
COINPAPRIKA: Final[Mapping[str, Refusal]] = {
    "coinpaprika-402": Refusal(402, 402, "payment required"),
    "coinpaprika-429": Refusal(429, 429, "too many requests"),
}

COINGECKO: Final[Mapping[str, Refusal]] = {
    "coingecko-10002": Refusal(401, 10002, "API Key Missing. Please make sure you're using the right authentication."),
    "coingecko-10005": Refusal(401, 10005, "This request is limited Pro API subscribers."),
    "coingecko-10006": Refusal(429, 10006, "You have reached 10,000 calls limit."),
    "coingecko-10010": Refusal(
        400, 10010, "If you are using Pro API key, please change your root URL to pro-api.coingecko.com."
    ),
    "coingecko-10011": Refusal(
        400, 10011, "If you are using Demo API key, please change your root URL to api.coingecko.com."
    ),
    "coingecko-429": Refusal(
        429,
        429,
        "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our"
        " API plans for higher rate limits.",
    ),
}


def coinmarketcap(refusal: Refusal, now: datetime) -> Answer:
    """CoinMarketCap's error envelope: a status and no data."""
    status = {
        "timestamp": stamp(now),
        "error_code": refusal.code,
        "error_message": refusal.message,
        "elapsed": 0,
        "credit_count": 0,
    }
    return Answer(orjson.dumps({"status": status}), refusal.status)


def coindesk(refusal: Refusal, now: datetime) -> Answer:
    """CoinDesk's error envelope: no data and an `Err` with the message twice."""
    words: dict[str, Any] = {"type": refusal.code, "message": refusal.message}
    err = {**words, "http_status_code": refusal.status, "frontend": words}
    return Answer(orjson.dumps({"Data": {}, "Err": err}), refusal.status)


def coinpaprika(refusal: Refusal, now: datetime) -> Answer:
    """CoinPaprika's error: a text, with the status in HTTP only."""
    return Answer(orjson.dumps({"error": refusal.message}), refusal.status)


def coingecko(refusal: Refusal, now: datetime) -> Answer:
    """CoinGecko's error envelope."""
    status = {"error_code": refusal.code, "error_message": refusal.message}
    return Answer(orjson.dumps({"status": status}), refusal.status)


def _minapi(refusal: Refusal, now: datetime) -> Answer:
    body = {"Response": "Error", "Message": refusal.message, "HasWarning": False, "Type": refusal.code}
    return Answer(orjson.dumps({**body, "RateLimit": {}, "Data": {}}), refusal.status)


_ENVELOPES: Final[Sequence[tuple[Mapping[str, Refusal], Envelope]]] = (
    (CMC, coinmarketcap),
    (COINDESK, coindesk),
    (MINAPI, _minapi),
    (COINPAPRIKA, coinpaprika),
    (COINGECKO, coingecko),
)
NAMES: Final = tuple(name for refusals, _ in _ENVELOPES for name in refusals)


def named(name: str, now: datetime) -> Answer:
    """The answer of one of `NAMES`, as its vendor sends it at this instant."""
    refusals, envelope = next(each for each in _ENVELOPES if name in each[0])
    return envelope(refusals[name], now)
