"""CoinMarketCap's API: listings in v1 and v3, with a key or on the keyless base, and the credits left of a key."""

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
from lib.simulator.listings import RATES, Ask, BadParameter
from lib.simulator.refusals import Refusal
from lib.simulator.usage import Usage

KEYLESS: Final = "/public-api"
LISTINGS: Final = ("/v1/cryptocurrency/listings/latest", "/v3/cryptocurrency/listings/latest")
HISTORICAL: Final = ("/v1/cryptocurrency/listings/historical", "/v3/cryptocurrency/listings/historical")
KEY_INFO: Final = "/v1/key/info"

_HEADER = "x-cmc_pro_api_key"
_ASSETS_PER_CREDIT = 200
_ASSETS_PER_CREDIT_OF_A_DAY = 100


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
        refusal = self.usage.ask_keyless(key) if keyless else self._refused(key) or self.usage.ask(key)
        if refusal:
            return refusals.named(refusal, now)
        try:
            ask = Ask.of(params)
        except BadParameter as exc:
            return refusals.coinmarketcap(Refusal(400, 400, str(exc)), now)
        page = self.feed.listings(ask, frozen or now, hold=frozen is not None)
        cost = 0 if keyless else max(1, math.ceil(len(page.records) / _ASSETS_PER_CREDIT))
        if not keyless:
            self.usage.charge(key, cost)
        return Answer(_v3(page, now, cost) if path.endswith(LISTINGS[1]) else _v1(page, now, cost))

    def historical(self, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """One page of the list as it stood at the end of a past UTC day. Needs a key; costs twice the latest list."""
        now, key = self.clock(), headers.get(_HEADER, "")
        if refusal := self._refused(key) or self.usage.ask(key):
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

    def key_info(self, headers: Mapping[str, str]) -> Answer:
        """The key's plan and what is left of it. Costs nothing."""
        now, key = self.clock(), headers.get(_HEADER, "")
        if refusal := self._refused(key):
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

    @staticmethod
    def _refused(key: str) -> str | None:
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
