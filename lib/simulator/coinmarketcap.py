"""CoinMarketCap's API: listings in v1 and v3, the map of ids, with a key or keyless, and the credits left of a key."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson

from lib.clock import Clock
from lib.simulator import refusals
from lib.simulator.answer import Answer, stamp
from lib.simulator.feed import Feed, Page
from lib.simulator.listings import RATES, Ask, BadParameter, mapped
from lib.simulator.refusals import Refusal
from lib.simulator.usage import Exceeded, Usage

KEYLESS: Final = "/public-api"
LISTINGS: Final = ("/v1/cryptocurrency/listings/latest", "/v3/cryptocurrency/listings/latest")
HISTORICAL: Final = ("/v1/cryptocurrency/listings/historical", "/v3/cryptocurrency/listings/historical")
MAP: Final = "/v1/cryptocurrency/map"
KEY_INFO: Final = "/v1/key/info"

_HEADER = "x-cmc_pro_api_key"
_ASSETS_PER_CREDIT_OF_A_DAY = 100
_OF_THE_MAP: Final = {"sort", "listing_status", "aux"}
_LIMITS: Final[Mapping[Exceeded, str]] = {
    "minute": "cmc-1008",
    "day": "cmc-1009",
    "month": "cmc-1010",
    "address": "cmc-1011",
}


@dataclass(frozen=True, slots=True)
class CoinMarketCap:
    """Answers a request as the vendor does, and charges the key for it."""

    feed: Feed
    usage: Usage
    clock: Clock

    def listings(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str], address: str, frozen: datetime | None
    ) -> Answer:
        """One page of the list. With `frozen`, its values are those of that instant."""
        now, keyless = self.clock(), path.startswith(KEYLESS)
        key = address if keyless else headers.get(_HEADER, "")
        if refusal := self._refused(key, keyless=keyless):
            return refusals.named(refusal, now)
        try:
            ask = Ask.of(params)
        except BadParameter as exc:
            return refusals.coinmarketcap(Refusal(400, 400, str(exc)), now)
        page = self.feed.listings(ask, frozen or now, hold=frozen is not None)
        cost = 0 if keyless else max(1, math.ceil(len(page.records) / self.usage.plan.assets_per_credit))
        if not keyless:
            self.usage.charge(key, cost)
        return Answer(_v3(page, now, cost) if path.endswith(LISTINGS[1]) else _v1(page, now, cost))

    def historical(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """One page of the list at the end of a past UTC day. Needs a key; costs a credit per 100 assets."""
        now, key = self.clock(), headers.get(_HEADER, "")
        if refusal := self._refused(key):
            return refusals.named(refusal, now)
        try:
            day = _past_day(params, now)
            ask = Ask.of({name: value for name, value in params.items() if name != "date"})
            page = self.feed.listings_of(day, ask)
        except BadParameter as exc:
            return refusals.coinmarketcap(Refusal(400, 400, str(exc)), now)
        cost = max(1, math.ceil(len(page.records) / _ASSETS_PER_CREDIT_OF_A_DAY))
        self.usage.charge(key, cost)
        return Answer(_v3(page, now, cost) if path == HISTORICAL[1] else _v1(page, now, cost))

    def map(self, path: str, params: Mapping[str, str], headers: Mapping[str, str], address: str) -> Answer:
        """The ids of the listed assets, in their order, with their contracts. Costs nothing."""
        now, keyless = self.clock(), path.startswith(KEYLESS)
        if refusal := self._refused(address if keyless else headers.get(_HEADER, ""), keyless=keyless):
            return refusals.named(refusal, now)
        try:
            ask = Ask.of({"limit": "5000", **{k: v for k, v in params.items() if k not in _OF_THE_MAP}})
        except BadParameter as exc:
            return refusals.coinmarketcap(Refusal(400, 400, str(exc)), now)
        rows = mapped(self.feed.listing(now))[ask.start - 1 : ask.start - 1 + ask.limit]
        return Answer(orjson.dumps({"status": _status(now, 0), "data": rows}))

    def key_info(self, headers: Mapping[str, str]) -> Answer:
        """The key's plan and what is left of it. Costs nothing."""
        now, key = self.clock(), headers.get(_HEADER, "")
        if refusal := _bad_key(key):
            return refusals.named(refusal, now)
        plan, used, reset = self.usage.plan, self.usage.of(key), _next_month(now)
        data = {
            "plan": {
                "credit_limit_monthly": plan.credits_per_month,
                "credit_limit_monthly_reset": _in_words(now, reset),
                "credit_limit_monthly_reset_timestamp": stamp(reset),
                "rate_limit_minute": plan.requests_per_minute,
            },
            "usage": {
                "current_minute": {
                    "requests_made": used.requests,
                    "requests_left": max(0, plan.requests_per_minute - used.requests),
                },
                "current_day": {"credits_used": used.day_credits},
                "current_month": {
                    "credits_used": used.month_credits,
                    "credits_left": max(0, plan.credits_per_month - used.month_credits),
                },
            },
        }
        return Answer(orjson.dumps({"status": _status(now, 0), "data": data}))

    def _refused(self, client: str, *, keyless: bool = False) -> str | None:
        """Count a request of a key or an address; the name of its refusal, if it is refused."""
        if not keyless and (refusal := _bad_key(client)):
            return refusal
        exceeded = self.usage.ask_keyless(client) if keyless else self.usage.ask(client)
        return _LIMITS[exceeded] if exceeded else None


def _bad_key(key: str) -> str | None:
    if not key:
        return "cmc-1002"
    return "cmc-1001" if key.startswith("bad") else None


def _past_day(params: Mapping[str, str], now: datetime) -> date:
    """The day of the parameter; the vendor ignores its time too."""
    try:
        day = date.fromisoformat(params["date"][:10])
    except KeyError:
        raise BadParameter('"date" is required') from None
    except ValueError:
        raise BadParameter('"date" must be a valid ISO 8601 timestamp or unix time value') from None
    if day >= now.astimezone(UTC).date():
        raise BadParameter('"date" must be older than the current UTC day')
    return day


def _status(now: datetime, cost: int) -> dict[str, Any]:
    return {
        "timestamp": stamp(now),
        "error_code": 0,
        "error_message": None,
        "elapsed": 10,
        "credit_count": cost,
        "notice": None,
    }


def _v1(page: Page, now: datetime, cost: int) -> bytes:
    status = {**_status(now, cost), "total_count": page.total, **page.status, "credit_count": cost}
    return orjson.dumps({"status": status, "data": page.records})


def _v3(page: Page, now: datetime, cost: int) -> bytes:
    """v3 has the quotes in a list, and no total."""
    for record in page.records:
        for currency, quote in record["quote"].items():
            quote["id"] = RATES[currency][0] if currency in RATES else None
            quote["symbol"] = currency
        record["quote"] = list(record["quote"].values())
    status = {**_status(now, cost), "error_message": "", **page.status, "credit_count": cost}
    status.pop("total_count", None)
    status.pop("notice", None)
    return orjson.dumps({"data": page.records, "status": status})


def _next_month(now: datetime) -> datetime:
    now = now.astimezone(UTC)
    return datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)


def _in_words(now: datetime, reset: datetime) -> str:
    minutes = int((reset - now).total_seconds() // 60)
    return f"In {minutes // 1440} days, {minutes // 60 % 24} hours, {minutes % 60} minutes"
