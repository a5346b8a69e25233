"""The plan of a key's credits: what is left, how fast it is spent, and the interval at which it lasts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from lib.clock import DAY, MINUTE
from lib.ingest.state_file import read_states

FILE = "credits.json"
INTERVALS = [MINUTE * minutes for minutes in range(1, 1441) if 1440 % minutes == 0]
"""The intervals to plan with: whole minutes that divide a day."""
LONGEST = INTERVALS[-1]
LONGEST_PERIOD = timedelta(days=31, hours=1)
"""A reset that is reported for later than this is not one of a month's credits."""
SPARE_SLOTS = 2
"""The plan does not use the credits of this many ticks: for the tick at the reset, and one retry."""
SHORTEN_SLOTS, SHORTEN_PART = 8, 0.005
"""A shorter interval is planned only if it leaves so many ticks and this part of the credits: else it would swing."""
SHARES = 8
"""Other users of a key are judged by this many checks, without the largest and the least: a burst is no rate."""


class CreditPlan(BaseModel):
    """The credits left of a key, how fast they are spent, and the interval at which they last.

    `left` and `told_at` are those of the newest key-info answer. `sure` is `left` without what we spent and the vendor
    does not report yet; `spent` is what our series had spent by then. `per_day` is what all users of the key spend at
    the interval; `shares` has how many times our own spending that was at each of the last checks. `counted`: no answer
    reports what is left; it is the source file's budget without what we spent. The interval is that since `since`.
    """

    model_config = ConfigDict(frozen=True)

    source: str
    key: str
    left: float
    limit: float | None
    resets_at: AwareDatetime
    told_at: AwareDatetime
    per_day: float
    lasts_until: AwareDatetime | None
    interval_s: float
    counted: bool = False
    sure: float = 0.0
    spent: float = 0.0
    shares: tuple[float, ...] = ()
    since: AwareDatetime
    since_left: float
    since_spent: float = 0.0

    @property
    def interval(self) -> timedelta:
        """The planned distance between ticks."""
        return timedelta(seconds=self.interval_s)


def at_least(asked: timedelta, span: timedelta) -> timedelta:
    """The shortest of `INTERVALS` that is at least `span`; `asked` where that is at least as long."""
    if span <= asked:
        return asked
    return next((interval for interval in INTERVALS if interval >= span), max(asked, LONGEST))


def shortest(asked: timedelta, requests: int, per_minute: float | None) -> timedelta:
    """The shortest interval at which so many requests a tick are within those that the plan allows in a minute."""
    return at_least(asked, MINUTE * (requests / per_minute)) if per_minute else asked


def choose_interval(
    asked: timedelta, before: timedelta, *, left: float, per_slot: float, share: float, remaining: timedelta
) -> timedelta:
    """The interval at which the credits last for the remaining time.

    The one before stays while it lasts and no shorter one lasts well. `share` is how many times our own spending all
    users of the key spend.
    """
    spent = per_slot * share * (remaining / MINUTE)  # at a tick a minute

    def lasting(credits: float) -> timedelta:
        return (
            at_least(asked, MINUTE * (spent / credits)) if credits > spent / (LONGEST / MINUTE) else max(asked, LONGEST)
        )

    needed = lasting(left - SPARE_SLOTS * per_slot)
    well = lasting(left * (1 - SHORTEN_PART) - SHORTEN_SLOTS * per_slot)
    return min(max(before, needed), well) if needed <= well else needed


def usual_share(shares: Sequence[float]) -> float:
    """The mean without the largest and the least, at least 1. Too few checks say nothing."""
    inner = sorted(shares)[1:-1]
    return max(1.0, sum(inner) / len(inner)) if inner else 1.0


def empty_at(left: float, per_day: float, now: datetime, resets_at: datetime) -> datetime | None:
    """When the credits run out at this rate; None when they last until the reset."""
    if left > 0 and (per_day <= 0 or left / per_day > (resets_at - now) / DAY):
        return None
    days = left / per_day if left > 0 else 0.0
    return (now + timedelta(days=days)).replace(microsecond=0)


def read_plans(folder: Path) -> list[CreditPlan]:
    """The plans of all series under the spools' folder, without those that can't be read."""
    return read_states(CreditPlan, folder.glob(f"*/{FILE}"))
