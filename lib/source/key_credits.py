"""The credits of a key: what is left of them, and the pause while those of the month are used up."""

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lib.clock import DAY, Clock, slot
from lib.errors import SourceMalformed, TopcoinsError
from lib.source.answer_reader import AnswerReader, MonthUsedUp
from lib.source.expression import get
from lib.source.model import Quota
from lib.source.pauses import Pauses, SourceError
from lib.source.values import read_datetime, read_number

LOOK_EVERY = timedelta(minutes=30)
"""So often the free call is asked while the month's credits are used up: a plan may be changed in mid-month."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a key's credits, of how many, and until when.

    `counted`: no answer reports it; it is a budget without what topcoins spent. `per_minute`: the requests allowed.
    """

    left: float
    limit: float | None
    resets_at: datetime | None
    counted: bool = False
    per_minute: float | None = None


class KeyCredits:
    """Asks for the credits of a key, and pauses the list at `path` while they are used up.

    Without `quota` nothing is asked, and a pause is a day long: a refused request costs nothing.
    """

    def __init__(self, quota: Quota | None, *, path: str, reader: AnswerReader, pauses: Pauses, clock: Clock) -> None:
        self.quota = quota
        self._path = path
        self._reader = reader
        self._pauses = pauses
        self._clock = clock
        self._resets_at: datetime | None = None

    async def allowance(self) -> Allowance | None:
        """What is left; None where the upstream does not report it. Credits end a pause that began a while ago."""
        if self.quota is None:
            return None
        may_end = self._is_paused_for_long
        answer, body = await self._reader.fetch(self.quota.path, {})
        allowance = read_allowance(self.quota, body, answer.request)
        self._resets_at = allowance.resets_at
        if allowance.left > 0 and may_end:
            self._pauses.end(self._path)
        return allowance

    async def look_again(self) -> None:
        """While the month's credits are used up, ask every half hour whether there are credits again."""
        if self._is_paused_for_long:
            with suppress(TopcoinsError):
                await self.allowance()
            self._pauses.renew(self._path)

    async def used_up(self, error: MonthUsedUp) -> SourceError:
        """Pause until the vendor's own time or the month's reset, else for a day. Returns the error to raise."""
        now = self._clock()
        if error.retry_after:
            until = now + error.retry_after
        else:
            with suppress(TopcoinsError):  # the reset that was reported last still holds
                await self.allowance()
            until = self._resets_at if self._resets_at and self._resets_at > now else slot(now, DAY) + DAY
        return self._pauses.begin(self._path, until, MonthUsedUp, str(error))

    @property
    def _is_paused_for_long(self) -> bool:
        pause = self._pauses.lasting(self._path)
        return pause is not None and pause.kind is MonthUsedUp and self._clock() - pause.since >= LOOK_EVERY


def read_allowance(quota: Quota, body: Any, request: str) -> Allowance:
    """The allowance in an answer of the quota path; SourceMalformed if it reports neither left, nor used and limit."""
    left, used, limit = (_credits(path, body) for path in (quota.left, quota.used, quota.limit))
    if left is None and used is not None and limit is not None:
        left = max(0.0, limit - used)
    if left is None:
        raise SourceMalformed(f"{request}: no credits at {quota.left}, nor at {quota.used} and {quota.limit}")
    if limit is None and used is not None:
        limit = left + used
    resets_at, per_minute = read_datetime(get(quota.resets_at, body)), _credits(quota.per_minute, body)
    return Allowance(left, limit, resets_at, per_minute=per_minute)


def _credits(path: str | None, body: Any) -> float | None:
    """A number from 0 on, also as text; None for anything else."""
    value = read_number(get(path, body))
    return value if value is not None and math.isfinite(value) and value >= 0 else None
