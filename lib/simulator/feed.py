"""The records that the APIs serve: lists of one instant, simulated or replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Protocol

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


class Feed(Protocol):
    """A source of both vendors' lists. `hold` repeats the last list instead of advancing."""

    def listings(self, ask: Ask, at: datetime, *, hold: bool = False) -> Page:
        """The requested part of CoinMarketCap's list."""

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The requested part of CoinMarketCap's list at the end of a day; raises BadParameter without one."""

    def top_list(self, at: datetime, *, first: bool, hold: bool = False) -> TopList:
        """CoinDesk's whole list; `first` when its first page is asked for."""

    def listing(self, at: datetime) -> Listing:
        """Everything listed at an instant, for CoinMarketCap's map and for other providers. Does not advance."""


class MarketFeed:
    """A simulated market. Caches the last minute, because its pages are requested together."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._listing: Listing | None = None
        self._top: TopList | None = None

    def listings(self, ask: Ask, at: datetime, *, hold: bool = False) -> Page:
        """The requested part of the market's list at this minute."""
        listing = self.listing(at)
        return Page(records(listing, ask), len(listing.ids))

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The requested part of the market's list at the day's last minute."""
        listing = self._market.at(datetime.combine(day, LAST_MINUTE))
        return Page(records(listing, ask), len(listing.ids))

    def top_list(self, at: datetime, *, first: bool, hold: bool = False) -> TopList:
        """CoinDesk's view of the market at this minute."""
        listing = self.listing(at)
        if self._top is None or self._top.listing is not listing:
            self._top = TopList(listing, self._market.oddities)
        return self._top

    def listing(self, at: datetime) -> Listing:
        """The market at this minute."""
        if self._listing is None or self._listing.at != at.replace(second=0, microsecond=0):
            self._listing = self._market.at(at)
        return self._listing
