"""What each series spends of a key's credits, as the answers say: one small file beside the series' spool."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict

from lib.clock import HOUR
from lib.ingest.state_file import read_state, read_states, save_state

NAME = "spending.{}.json"
CANNOT_WRITE = "a file of the credit plan can't be written"


class Spending(BaseModel):
    """What one series spent of a key: `credits` since the file began, `month_credits` of them in the month of `at`.

    `cost` is what the list at the address `asked` cost when this series last paid for it. Series that share a list
    have the same address, and only the one that fetched it pays. It takes so many `requests`.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    asked: str
    at: AwareDatetime
    cost: float = 0.0
    requests: int = 1
    credits: float = 0.0
    month_credits: float = 0.0

    def in_month(self, now: datetime) -> float:
        """The credits of the present calendar month."""
        return self.month_credits if (self.at.year, self.at.month) == (now.year, now.month) else 0.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What all series on this machine spent of a key."""

    each: tuple[Spending, ...]

    @property
    def credits(self) -> float:
        """All credits, since the files began."""
        return sum(spending.credits for spending in self.each)

    def in_month(self, now: datetime) -> float:
        """The credits of the present calendar month."""
        return sum(spending.in_month(now) for spending in self.each)

    def lists(self, now: datetime, interval: timedelta) -> Collection[Spending]:
        """The lists of a tick, of the series that were fetched within an hour or three intervals, else of all.

        A list that series share counts once.
        """
        lists: dict[str, Spending] = {}
        for spending in [each for each in self.each if now - each.at <= max(HOUR, 3 * interval)] or self.each:
            lists[spending.asked] = max(spending, lists.get(spending.asked, spending), key=lambda each: each.cost)
        return lists.values()


class SpendingFile:
    """The spending of one series on one key, kept over restarts; in memory only without a folder."""

    def __init__(self, folder: Path | None, key: str, asked: str, requests: int = 1) -> None:
        self._folder = folder
        self._file = folder / NAME.format(key) if folder else None
        self._key = key
        self._asked = asked
        self._requests = requests
        self._own: Spending | None = None

    def add(self, credits: float, now: datetime) -> None:
        """Count what a list cost."""
        before = self._own or read_state(Spending, self._file) or Spending(key=self._key, asked="", at=now)
        is_same = (before.asked, before.requests) == (self._asked, self._requests)
        self._own = Spending(
            key=self._key,
            asked=self._asked,
            at=now,
            cost=credits or (before.cost if is_same else 0.0),
            requests=self._requests,
            credits=before.credits + credits,
            month_credits=before.in_month(now) + credits,
        )
        save_state(self._file, self._own, CANNOT_WRITE, survives_power_cut=False)

    def all(self) -> Spent:
        """The spending of every series on this key."""
        if self._folder is None:
            return Spent((self._own,) if self._own else ())
        files = self._folder.parent.glob(f"*/{NAME.format(self._key)}")
        return Spent(tuple(read_states(Spending, files)))
