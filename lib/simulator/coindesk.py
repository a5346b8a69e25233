"""CoinDesk Data's API: the asset top list, page by page."""

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

TOP_LIST: Final = "/asset/v1/top/list"

_SORT_BY: Final = "SPOT_MOVING_24_HOUR_QUOTE_VOLUME_USD"
_PAGE_SIZES: Final = (10, 100)
_BAD_PARAMETER: Final = 2
_DEFAULTS: Final = {"page": "1", "page_size": "20", "sort_by": _SORT_BY, "sort_direction": "DESC"}


@dataclass(frozen=True, slots=True)
class CoinDesk:
    """Answers a request as the vendor does."""

    feed: Feed
    clock: Clock

    def top_list(self, params: Mapping[str, str], headers: Mapping[str, str], frozen: datetime | None) -> Answer:
        """One page of the list; an empty one past the end. With `frozen`, the values are those of that instant."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "apikey" or not key.strip() or key.startswith("bad"):
            return refusals.named("coindesk-401", self.clock())
        query = {**_DEFAULTS, **params}
        if wrong := _wrong(query):
            words = f"{wrong} has an invalid value: {query[wrong][:64]}"
            return refusals.coindesk(Refusal(400, _BAD_PARAMETER, words))
        page, size = int(query["page"]), int(query["page_size"])
        top = self.feed.top_list(frozen or self.clock(), first=page == 1, hold=frozen is not None)
        records = top.page(page, size, descending=query["sort_direction"] == "DESC")
        stats = {"PAGE": page, "PAGE_SIZE": size, "TOTAL_ASSETS": len(top)}
        return Answer(orjson.dumps({"Data": {"STATS": stats, "LIST": records}, "Err": {}}))


def _wrong(query: Mapping[str, str]) -> str | None:
    """The first parameter the vendor would refuse."""
    fine = {
        "page": _within(query["page"], 1, 10**6),
        "page_size": _within(query["page_size"], *_PAGE_SIZES),
        "sort_by": query["sort_by"] == _SORT_BY,
        "sort_direction": query["sort_direction"] in ("ASC", "DESC"),
    }
    return next((name for name, is_fine in fine.items() if not is_fine), None)


def _within(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most
