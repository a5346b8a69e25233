"""What every simulated vendor is made of: answers to requests, and counts of them and of credits against a plan."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple

from starlette.requests import Request

from lib.clock import Clock
from lib.simulator.answer import Answer
from lib.simulator.feed import MarketFeed
from lib.simulator.refusals import RequestRefused, named
from lib.simulator.replay import Replay

Exceeded = Literal["minute", "day", "month", "address"]
"""The limit that a request exceeds: of its key, or of an address without a key."""

_HUGE = 10**12


@dataclass(frozen=True, slots=True)
class Plan:
    """What each key may use; without a key, what each address may. By default CoinMarketCap's free plan of late 2026.

    https://coinmarketcap.com/api/resources/what-one-credit-buys-endpoint-by-endpoint
    """

    requests_per_minute: int = 50
    credits_per_day: int = _HUGE
    credits_per_month: int = 15_000
    keyless_per_minute: int = 30
    assets_per_credit: int = 250

    @classmethod
    def unlimited(cls) -> "Plan":
        """A plan without limits, to fill a history quickly."""
        return cls(_HUGE, _HUGE, _HUGE, _HUGE)


COINDESK: Final = Plan(requests_per_minute=1000, credits_per_day=40_000, credits_per_month=200_000)
"""The limits that CoinDesk's documented rate-limit answer shows for an account. A call is a credit."""
COINPAPRIKA: Final = Plan(credits_per_month=20_000, keyless_per_minute=600)
"""CoinPaprika's free plan, which has no key: 20,000 calls a month for an address."""
COINGECKO: Final = Plan(requests_per_minute=100, credits_per_month=10_000, keyless_per_minute=10)
"""CoinGecko's demo key: 10,000 calls a month. The limit without a key is not published."""


class Used(NamedTuple):
    """One client's requests in this minute, and its credits of this day and this month."""

    requests: int
    day_credits: int
    month_credits: int


@dataclass(slots=True)
class Usage:
    """Counts per key or address, and returns the limit that a request exceeds."""

    plan: Plan
    clock: Clock
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def of(self, client: str) -> Used:
        """What a key or an address has used by now."""
        return Used(*(self._counts[client, period] for period in self._periods()))

    def ask(self, client: str, *, keyless: bool = False) -> Exceeded | None:
        """Count a request with a key, or of an address without one; the limit that it exceeds."""
        used, plan = self.of(client), self.plan
        if used.requests >= (plan.keyless_per_minute if keyless else plan.requests_per_minute):
            return "address" if keyless else "minute"
        self._counts[client, self._periods()[0]] += 1
        if used.day_credits >= plan.credits_per_day:
            return "day"
        return "month" if used.month_credits >= plan.credits_per_month else None

    def charge(self, client: str, credits: int) -> None:
        """Take credits from a key or an address."""
        for period in self._periods()[1:]:
            self._counts[client, period] += credits

    def _periods(self) -> tuple[str, str, str]:
        """This minute, day and month."""
        minute = self.clock().strftime("%Y-%m-%d %H:%M")
        return minute, minute[:10], minute[:7]


Feed = MarketFeed | Replay
"""The lists that the vendors serve. Recorded ones follow each other: `advance` goes on to the next."""

Serve = Callable[[Request, datetime | None], Answer]
"""Answers a request, or raises RequestRefused. With an instant, its values are those of that instant."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """Answers requests as a vendor does, with the lists of a feed, and counts what each key or address uses."""

    feed: Feed
    usage: Usage
    clock: Clock

    def routes(self) -> Mapping[str, Serve]:
        """What each path answers."""
        raise NotImplementedError

    def refused(self, name: str) -> RequestRefused:
        """The refusal of this name, at this instant."""
        return RequestRefused(named(name, self.clock()))


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""
