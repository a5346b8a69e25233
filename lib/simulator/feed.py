"""The records that the APIs serve: lists of one instant, simulated or replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from lib.clock import MINUTE, slot
from lib.simulator.listings import Ask, records
from lib.simulator.market import Listing, Market
from lib.simulator.toplist import TopList

Record = dict[str, Any]
LAST_MINUTE = time(23, 59, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of CoinMarketCap's list in v1's shape, how many there are in all, and the fields of `status`.

    The records are a copy that the caller may change.
    """

    records: list[Record]
    total: int
    status: Mapping[str, Any] = field(default_factory=dict)


class MarketFeed:
    """The lists of a simulated market. Caches the last minute, because its pages are requested together."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._listing = lru_cache(maxsize=1)(market.at)
        self._top = lru_cache(maxsize=1)(lambda minute: TopList(self._listing(minute), market.oddities))

    def listings(self, ask: Ask, at: datetime, *, advance: bool) -> Page:
        """The requested part of the market's list at this minute."""
        listing = self.listing(at)
        return Page(records(listing, ask), len(listing.ids))

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The requested part of the market's list at the day's last minute."""
        listing = self._market.at(datetime.combine(day, LAST_MINUTE))
        return Page(records(listing, ask), len(listing.ids))

    def top_list(self, at: datetime, *, advance: bool) -> TopList:
        """CoinDesk's view of the market at this minute."""
        return self._top(slot(at, MINUTE))

    def listing(self, at: datetime) -> Listing:
        """The market at this minute."""
        return self._listing(slot(at, MINUTE))
