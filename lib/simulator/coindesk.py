"""CoinDesk Data's API: the asset top list, page by page, and the calls left of a key."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import orjson
from starlette.requests import Request

from lib.simulator.answer import Answer
from lib.simulator.refusals import Refusal, RequestRefused, coindesk
from lib.simulator.vendor import Serve, Vendor
from lib.text import is_digits

TOP_LIST: Final = "/asset/v1/top/list"
RATE_LIMIT: Final = "/admin/v2/rate/limit"

_SORT_BY: Final = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"
_PAGES: Final = range(1, 1001)
_PAGE_SIZES: Final = range(10, 101)
_BAD_PARAMETER: Final = 2
_DEFAULTS: Final = {"page": "1", "page_size": "100", "sort_by": _SORT_BY, "sort_direction": "DESC"}


class CoinDesk(Vendor):
    """Answers with a key, and charges it a call."""

    def routes(self) -> Mapping[str, Serve]:
        """What each path answers."""
        return {TOP_LIST: self.top_list, RATE_LIMIT: self.rate_limit}

    def top_list(self, request: Request, frozen: datetime | None) -> Answer:
        """One page of the list; an empty one past the end. With `frozen`, the values are those of that instant."""
        key = self._key(request)
        if exceeded := self.usage.ask(key):
            raise self.refused("coindesk-402" if exceeded == "month" else "coindesk-429")
        self.usage.charge(key, 1)
        query = {**_DEFAULTS, **request.query_params}
        if wrong := _wrong(query):
            words = f"{wrong} has an invalid value: {query[wrong][:64]}"
            raise RequestRefused(coindesk(Refusal(400, _BAD_PARAMETER, words), self.clock()))
        page, size = int(query["page"]), int(query["page_size"])
        top = self.feed.top_list(frozen or self.clock(), advance=page == 1 and frozen is None)
        records = top.page(page, size, descending=query["sort_direction"] == "DESC")
        stats = {"PAGE": page, "PAGE_SIZE": size, "TOTAL_ASSETS": len(top)}
        return Answer(orjson.dumps({"Data": {"STATS": stats, "LIST": records}, "Err": {}}))

    def rate_limit(self, request: Request, frozen: datetime | None) -> Answer:
        """The calls a key has used and has left. It is a call itself, and is answered when none is left."""
        key = self._key(request)
        self.usage.ask(key)
        self.usage.charge(key, 1)
        used, plan = self.usage.of(key), self.usage.plan
        spent = {"MINUTE": used.requests, "DAY": used.day_credits, "MONTH": used.month_credits}
        most = {"MINUTE": plan.requests_per_minute, "DAY": plan.credits_per_day, "MONTH": plan.credits_per_month}
        remaining = {name: max(0, most[name] - count) for name, count in spent.items()}
        usage = {"USED": spent, "MAX": most, "REMAINING": remaining}
        return Answer(orjson.dumps({"Data": {"API_KEY": usage}, "Err": {}}))

    def _key(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "apikey" or not key.strip() or key.startswith("bad"):
            raise self.refused("coindesk-401")
        return key


def _wrong(query: Mapping[str, str]) -> str | None:
    """The first parameter the vendor would refuse."""
    fine = {
        "page": is_digits(query["page"], 9) and int(query["page"]) in _PAGES,
        "page_size": is_digits(query["page_size"], 9) and int(query["page_size"]) in _PAGE_SIZES,
        "sort_by": query["sort_by"] == _SORT_BY,
        "sort_direction": query["sort_direction"] in ("ASC", "DESC"),
    }
    return next((name for name, is_fine in fine.items() if not is_fine), None)
