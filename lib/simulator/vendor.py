"""What every simulated vendor is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from lib.clock import Clock
from lib.simulator.answer import Answer
from lib.simulator.feed import MarketFeed
from lib.simulator.refusals import RequestRefused, named
from lib.simulator.replay import Replay
from lib.simulator.usage import Usage

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
