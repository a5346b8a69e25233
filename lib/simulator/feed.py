"""What the two APIs are served from: lists of records of one instant, simulated or replayed."""

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
    """Some records of CoinMarketCap's list in v1's shape, how many there are in all, and what `status` must say.

    The records are the page's own: who answers with them may change them.
    """

    records: list[Record]
    total: int
    status: Mapping[str, Any] = field(default_factory=dict)


class Feed(Protocol):
    """A source of both vendors' lists. `hold` asks for what was there, without moving on."""

    def listings(self, ask: Ask, at: datetime, *, hold: bool = False) -> Page:
        """The asked part of CoinMarketCap's list."""

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The asked part of CoinMarketCap's list as it stood at the end of a day; BadParameter where it has none."""

    def top_list(self, at: datetime, *, first: bool, hold: bool = False) -> TopList:
        """CoinDesk's whole list; `first` when its first page is asked for."""


class MarketFeed:
    """A simulated market. Keeps the last minute it was asked for, as pages of one minute come together."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._listing: Listing | None = None
        self._top: TopList | None = None

    def listings(self, ask: Ask, at: datetime, *, hold: bool = False) -> Page:
        """The asked part of the market's list at this minute."""
        listing = self._at(at)
        return Page(records(listing, ask), len(listing.ids))

    def listings_of(self, day: date, ask: Ask) -> Page:
        """The asked part of the market's list at the day's last minute."""
        listing = self._market.at(datetime.combine(day, LAST_MINUTE))
        return Page(records(listing, ask), len(listing.ids))

    def top_list(self, at: datetime, *, first: bool, hold: bool = False) -> TopList:
        """CoinDesk's view of the market at this minute."""
        listing = self._at(at)
        if self._top is None or self._top.listing is not listing:
            self._top = TopList(listing, self._market.oddities)
        return self._top

    def _at(self, at: datetime) -> Listing:
        if self._listing is None or self._listing.at != at.replace(second=0, microsecond=0):
            self._listing = self._market.at(at)
        return self._listing
