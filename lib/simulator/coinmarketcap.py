"""CoinMarketCap's API: listings in v1 and v3, the map of ids, with a key or keyless, and the credits left of a key."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request

from lib.clock import next_month
from lib.simulator.answer import Answer, stamp
from lib.simulator.feed import Page
from lib.simulator.listings import RATES, Ask, BadParameter, mapped
from lib.simulator.refusals import Refusal, RequestRefused, coinmarketcap
from lib.simulator.vendor import Exceeded, Serve, Vendor, address

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


class CoinMarketCap(Vendor):
    """Answers with a key, or without one below `KEYLESS`, and charges the key."""

    def routes(self) -> Mapping[str, Serve]:
        """What each path answers."""
        return {
            **dict.fromkeys((base + path for path in LISTINGS for base in ("", KEYLESS)), self.listings),
            **dict.fromkeys(HISTORICAL, self.historical),
            **dict.fromkeys((MAP, KEYLESS + MAP), self.map),
            KEY_INFO: self.key_info,
        }

    def listings(self, request: Request, frozen: datetime | None) -> Answer:
        """One page of the list. With `frozen`, its values are those of that instant."""
        client = self._admitted(request)
        with self._refusing():
            ask = Ask.of(request.query_params)
            page = self.feed.listings(ask, frozen or self.clock(), advance=ask.start == 1 and frozen is None)
        return self._list(request, client, page, assets_per_credit=self.usage.plan.assets_per_credit)

    def historical(self, request: Request, frozen: datetime | None) -> Answer:
        """One page of the list at the end of a past UTC day. Needs a key; costs a credit per 100 assets."""
        client, params = self._admitted(request), request.query_params
        with self._refusing():
            day = _past_day(params, self.clock())
            ask = Ask.of({name: value for name, value in params.items() if name != "date"})
            page = self.feed.listings_of(day, ask)
        return self._list(request, client, page, assets_per_credit=_ASSETS_PER_CREDIT_OF_A_DAY)

    def map(self, request: Request, frozen: datetime | None) -> Answer:
        """The ids of the listed assets, in their order, with their contracts. Costs nothing."""
        self._admitted(request)
        with self._refusing():
            ask = Ask.of({"limit": "5000", **{k: v for k, v in request.query_params.items() if k not in _OF_THE_MAP}})
        rows = mapped(self.feed.listing(self.clock()))[ask.start - 1 : ask.start - 1 + ask.limit]
        return Answer(orjson.dumps({"status": _status(self.clock(), 0), "data": rows}))

    def key_info(self, request: Request, frozen: datetime | None) -> Answer:
        """The key's plan and what is left of it. Costs nothing."""
        now, key = self.clock(), self._key(request)
        plan, used, reset = self.usage.plan, self.usage.of(key), next_month(now)
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

    def _key(self, request: Request) -> str:
        key = request.headers.get(_HEADER, "")
        if not key:
            raise self.refused("cmc-1002")
        if key.startswith("bad"):
            raise self.refused("cmc-1001")
        return key

    def _admitted(self, request: Request) -> str:
        """Count a request; the key, or the address at a keyless path."""
        keyless = _is_keyless(request)
        client = address(request) if keyless else self._key(request)
        if exceeded := self.usage.ask(client, keyless=keyless):
            raise self.refused(_LIMITS[exceeded])
        return client

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except BadParameter as exc:
            raise RequestRefused(coinmarketcap(Refusal(400, 400, str(exc)), self.clock())) from exc

    def _list(self, request: Request, client: str, page: Page, *, assets_per_credit: int) -> Answer:
        """A page in the shape of the path's version, charged to a key."""
        cost = 0 if _is_keyless(request) else max(1, math.ceil(len(page.records) / assets_per_credit))
        if cost:
            self.usage.charge(client, cost)
        version = _v3 if "/v3/" in request.url.path else _v1
        return Answer(version(page, self.clock(), cost))


def _is_keyless(request: Request) -> bool:
    return request.url.path.startswith(KEYLESS)


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


def _in_words(now: datetime, reset: datetime) -> str:
    minutes = int((reset - now).total_seconds() // 60)
    return f"In {minutes // 1440} days, {minutes // 60 % 24} hours, {minutes % 60} minutes"
