"""CoinDesk Data's API: the asset top list, page by page, and the calls left of a key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson

from lib.clock import Clock
from lib.simulator import refusals
from lib.simulator.answer import Answer
from lib.simulator.feed import Feed
from lib.simulator.refusals import Refusal
from lib.simulator.usage import Usage

TOP_LIST: Final = "/asset/v1/top/list"
RATE_LIMIT: Final = "/admin/v2/rate/limit"

_SORT_BY: Final = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"
_PAGES: Final = (1, 1000)
_PAGE_SIZES: Final = (10, 100)
_BAD_PARAMETER: Final = 2
_DEFAULTS: Final = {"page": "1", "page_size": "100", "sort_by": _SORT_BY, "sort_direction": "DESC"}


@dataclass(frozen=True, slots=True)
class CoinDesk:
    """Answers a request as the vendor does, and charges the key a call for it."""

    feed: Feed
    usage: Usage
    clock: Clock

    def top_list(self, params: Mapping[str, str], headers: Mapping[str, str], frozen: datetime | None) -> Answer:
        """One page of the list; an empty one past the end. With `frozen`, the values are those of that instant."""
        if refusal := self._refused(headers):
            return refusals.named(refusal, self.clock())
        query = {**_DEFAULTS, **params}
        if wrong := _wrong(query):
            words = f"{wrong} has an invalid value: {query[wrong][:64]}"
            return refusals.coindesk(Refusal(400, _BAD_PARAMETER, words))
        page, size = int(query["page"]), int(query["page_size"])
        top = self.feed.top_list(frozen or self.clock(), first=page == 1, hold=frozen is not None)
        records = top.page(page, size, descending=query["sort_direction"] == "DESC")
        stats = {"PAGE": page, "PAGE_SIZE": size, "TOTAL_ASSETS": len(top)}
        return Answer(orjson.dumps({"Data": {"STATS": stats, "LIST": records}, "Err": {}}))

    def rate_limit(self, headers: Mapping[str, str]) -> Answer:
        """The calls a key has used and has left. It is a call itself, and is answered when none is left."""
        if (key := _key(headers)) is None:
            return refusals.named("coindesk-401", self.clock())
        self.usage.ask(key)
        self.usage.charge(key, 1)
        used, plan = self.usage.of(key), self.usage.plan
        spent = {"MINUTE": used.requests, "DAY": used.day_credits, "MONTH": used.month_credits}
        most = {
            "MINUTE": plan.requests_per_minute,
            "DAY": plan.credits_per_day,
            "MONTH": plan.credits_per_month,
        }
        remaining = {name: max(0, most[name] - count) for name, count in spent.items()}
        return Answer(
            orjson.dumps({"Data": {"API_KEY": {"USED": spent, "MAX": most, "REMAINING": remaining}}, "Err": {}})
        )

    def _refused(self, headers: Mapping[str, str]) -> str | None:
        if (key := _key(headers)) is None:
            return "coindesk-401"
        exceeded = self.usage.ask(key)
        if exceeded is None:
            self.usage.charge(key, 1)
            return None
        return "coindesk-402" if exceeded == "month" else "coindesk-429"


def _key(headers: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key if scheme.lower() == "apikey" and key.strip() and not key.startswith("bad") else None


def _wrong(query: Mapping[str, str]) -> str | None:
    """The first parameter the vendor would refuse."""
    fine = {
        "page": _within(query["page"], *_PAGES),
        "page_size": _within(query["page_size"], *_PAGE_SIZES),
        "sort_by": query["sort_by"] == _SORT_BY,
        "sort_direction": query["sort_direction"] in ("ASC", "DESC"),
    }
    return next((name for name, is_fine in fine.items() if not is_fine), None)


def _within(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most
