"""Counts requests and credits per key, against a plan: requests a minute, credits a day and a month."""

from dataclasses import dataclass, field
from datetime import datetime

from lib.clock import Clock

_HUGE = 10**12


@dataclass(frozen=True, slots=True)
class Plan:
    """What each key may use; without a key, what each address may."""

    requests_per_minute: int = 30
    credits_per_day: int = _HUGE
    credits_per_month: int = 10_000
    keyless_per_minute: int = 30

    @classmethod
    def unlimited(cls) -> "Plan":
        """A plan without limits, to fill a history quickly."""
        return cls(_HUGE, _HUGE, _HUGE, _HUGE)


@dataclass(slots=True)
class Used:
    """One key's use in the minute, day and month of its last request."""

    minute: str = ""
    day: str = ""
    month: str = ""
    requests: int = 0
    day_credits: int = 0
    month_credits: int = 0

    def roll(self, now: datetime) -> None:
        """Forget what was used in a minute, day or month that is over."""
        text = now.strftime("%Y-%m-%d %H:%M")
        if text != self.minute:
            self.minute, self.requests = text, 0
        if text[:10] != self.day:
            self.day, self.day_credits = text[:10], 0
        if text[:7] != self.month:
            self.month, self.month_credits = text[:7], 0


@dataclass(slots=True)
class Usage:
    """Counts per key or address, and returns the documented limit that a request exceeds."""

    plan: Plan
    clock: Clock
    _used: dict[str, Used] = field(default_factory=dict)

    def of(self, client: str) -> Used:
        """What a key or an address has used by now."""
        used = self._used.setdefault(client, Used())
        used.roll(self.clock())
        return used

    def ask(self, key: str) -> str | None:
        """Count a request with a key; returns the name of the refusal when the plan is used up."""
        used = self.of(key)
        if used.requests >= self.plan.requests_per_minute:
            return "cmc-1008"
        used.requests += 1
        if used.day_credits >= self.plan.credits_per_day:
            return "cmc-1009"
        return "cmc-1010" if used.month_credits >= self.plan.credits_per_month else None

    def ask_keyless(self, address: str) -> str | None:
        """Count a request without a key."""
        used = self.of(address)
        if used.requests >= self.plan.keyless_per_minute:
            return "cmc-1011"
        used.requests += 1
        return None

    def charge(self, key: str, credits: int) -> None:
        """Take credits from a key."""
        used = self.of(key)
        used.day_credits += credits
        used.month_credits += credits
