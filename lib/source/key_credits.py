"""The credits of a key: what is left of them, and the pause while those of the month are used up."""

from contextlib import suppress
from datetime import datetime, timedelta

from lib.clock import DAY, Clock, slot
from lib.errors import TopcoinsError
from lib.source.allowance import Allowance, read_allowance
from lib.source.answer_reader import AnswerReader, MonthUsedUp
from lib.source.model import Quota
from lib.source.pauses import Pauses, SourceError

LOOK_EVERY = timedelta(minutes=30)
"""So often the free call is asked while the month's credits are used up: a plan may be changed in mid-month."""


class KeyCredits:
    """Asks for the credits of a key, and pauses the list at `path` while they are used up.

    Without `quota` nothing is asked, and a pause is a day long: a refused request costs nothing.
    """

    def __init__(
        self,
        quota: Quota | None,
        *,
        path: str,
        reader: AnswerReader,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
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
