"""Reading an answer: its parsed body where it is one, else an error that says what the caller should do."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from lib.clock import DAY, HOUR, MINUTE, Clock, slot
from lib.errors import DayTooOld, SourceExhausted, SourceMalformed, SourceRejected, SourceUnavailable
from lib.retry_after import parse_retry_after
from lib.source.json_body import JsonRefused, parse_json
from lib.source.model import Action, Errors
from lib.source.pauses import Pauses, SourceError
from lib.source.transport import Answer, Params, Transport
from lib.source.vendor_errors import (
    LONGEST_CODE,
    LONGEST_MESSAGE,
    LONGEST_STATUS_WAIT,
    VendorError,
    action_of,
    vendor_error,
)

REFUSED_PAUSE = HOUR
"""A refused key or a path that is gone is tried again this rarely: a plan may be renewed without a new key."""


class MonthUsedUp(SourceExhausted):
    """The month's quota is used up. Without `retry_after`, its reset has to be asked for."""


class AnswerReader:
    """Reads the answers of one upstream, and begins the pauses that their errors ask for."""

    def __init__(self, errors: Errors, pauses: Pauses, transport: Transport, clock: Clock) -> None:
        self._errors = errors
        self._pauses = pauses
        self._transport = transport
        self._clock = clock

    async def fetch(self, path: str, params: Params) -> tuple[Answer, Any]:
        """The answer at another address than the list's, and its body; raises what `lib.errors` has for a source."""
        self._pauses.check(path)
        answer = await self._transport.get_in_time(path, params)
        return answer, await asyncio.to_thread(self.parse, answer)

    def parse(self, answer: Answer) -> Any:
        """The body of an answer without an error, by its body and its status; a TopcoinsError otherwise."""
        try:
            body = parse_json(answer.body)
        except JsonRefused as exc:
            if answer.is_success:
                raise SourceMalformed(f"{answer.request}: HTTP {answer.status}, but {exc}") from exc
            body = None
        try:
            error = vendor_error(self._errors, body)
        except RecursionError as exc:
            raise SourceMalformed(f"{answer.request}: the error code is nested too deep") from exc
        if error or not answer.is_success:
            raise self._error(answer, error)
        if answer.status == 206:
            raise SourceMalformed(f"{answer.request}: HTTP 206, only a part of the answer")
        return body

    def _error(self, answer: Answer, error: VendorError | None) -> SourceError:
        code = error.code if error else None
        action = action_of(self._errors, code, answer.status)
        now = self._clock()
        wait = parse_retry_after(answer.headers.get("retry-after"), now)
        if wait and code is None:
            wait = min(wait, LONGEST_STATUS_WAIT)
        return self._pause(action, answer.path, self._describe(answer, error), now, wait)

    def _pause(self, action: Action, path: str, message: str, now: datetime, wait: timedelta | None) -> SourceError:
        """The error of an action. A wait that the upstream asks for comes before our own, but for a refusal."""
        if action == "too_old":
            return DayTooOld(message)
        if action in ("stop", "gone"):
            return self._pauses.begin(path, now + REFUSED_PAUSE, SourceRejected, message)
        if action == "reset_month":
            return MonthUsedUp(message, retry_after=wait)
        if wait:
            kind = SourceExhausted if action == "reset" else SourceUnavailable
            return self._pauses.begin(path, now + wait, kind, message)
        if action == "reset":
            return self._pauses.begin(path, slot(now, DAY) + DAY, SourceExhausted, message)
        if action == "next_minute":
            return self._pauses.begin(path, slot(now, MINUTE) + MINUTE, SourceUnavailable, message)
        if action == "away":
            return self._pauses.away(path, message)
        return SourceUnavailable(message, again=action == "retry")

    def _describe(self, answer: Answer, error: VendorError | None) -> str:
        text = f"{answer.request}: HTTP {answer.status}"
        if error is None:
            return text
        # Our key goes before the text is cut: a part of it would not be recognised.
        code, message = self._transport.redact(error.code), self._transport.redact(error.message)
        return self._transport.redact(
            f"{text}, code {code[:LONGEST_CODE]}" + (f": {message[:LONGEST_MESSAGE]}" if message else "")
        )
