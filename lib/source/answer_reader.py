"""Reading an answer: its parsed body where it is one, else an error that says what the caller should do.

What to do comes from the vendor's own error, for which its source file has actions, else from the status. Only an error
in the body can stop a source for long: any proxy on the way may answer with a status.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from lib.clock import DAY, HOUR, MINUTE, Clock, slot
from lib.errors import DayTooOld, SourceExhausted, SourceMalformed, SourceRejected, SourceUnavailable
from lib.retry_after import parse_retry_after
from lib.source.body import JsonRefused, parse_json
from lib.source.expression import get
from lib.source.model import Action, Errors
from lib.source.pauses import Pauses, SourceError
from lib.source.transport import Answer, Params, Transport
from lib.text import without_control

REFUSED_PAUSE = HOUR
"""A refused key or a path that is gone is tried again this rarely: a plan may be renewed without a new key."""
STATUS_ACTIONS: Final[Mapping[str, Action]] = {
    "301": "gone",
    "308": "gone",
    "404": "gone",
    "410": "gone",
    "408": "retry",
    "5xx": "retry",
}
"""What an HTTP status means that comes without a known code of the vendor; any other status means `away`."""
LONGEST_CODE, LONGEST_MESSAGE = 64, 300
LONGEST_STATUS_WAIT = timedelta(hours=1)
"""A Retry-After that comes without a code of the vendor asks for no longer wait."""


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
            code, message = vendor_error(self._errors, body)
        except RecursionError as exc:
            raise SourceMalformed(f"{answer.request}: the error code is nested too deep") from exc
        if code is not None or not answer.is_success:
            raise self._error(answer, code, message)
        if answer.status == 206:
            raise SourceMalformed(f"{answer.request}: HTTP 206, only a part of the answer")
        return body

    def _error(self, answer: Answer, code: str | None, message: str) -> SourceError:
        action = action_of(self._errors, code, answer.status)
        now = self._clock()
        wait = parse_retry_after(answer.headers.get("retry-after"), now)
        if wait and code is None:
            wait = min(wait, LONGEST_STATUS_WAIT)
        return self._pause(action, answer.path, self._describe(answer, code, message), now, wait)

    def _pause(self, action: Action, path: str, message: str, now: datetime, wait: timedelta | None) -> SourceError:
        """The error of an action. A wait that the upstream asks for comes before our own, but for a refusal."""
        if action == "too_old":
            return DayTooOld(message)
        if action in ("stop", "gone"):
            return self._pauses.begin(path, now + REFUSED_PAUSE, SourceRejected, message)
        if action == "reset_month":
            return MonthUsedUp(message, retry_after=wait)
        ends = {"reset": slot(now, DAY) + DAY, "next_minute": slot(now, MINUTE) + MINUTE}
        if until := now + wait if wait else ends.get(action):
            kind = SourceExhausted if action == "reset" else SourceUnavailable
            return self._pauses.begin(path, until, kind, message)
        if action == "away":
            return self._pauses.away(path, message)
        return SourceUnavailable(message, again=action == "retry")

    def _describe(self, answer: Answer, code: str | None, message: str) -> str:
        text = f"{answer.request}: HTTP {answer.status}"
        if code is None:
            return text
        # Our key goes before the text is cut: a part of it would not be recognised.
        code, message = self._transport.redact(code), self._transport.redact(message)
        return self._transport.redact(
            f"{text}, code {code[:LONGEST_CODE]}" + (f": {message[:LONGEST_MESSAGE]}" if message else "")
        )


def vendor_error(errors: Errors, body: Any) -> tuple[str | None, str]:
    """The code and the message of the error that a body reports, whatever its status; no code where it has none."""
    code = get(errors.code, body)
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if code is None or str(code) in errors.fine:
        return None, ""
    return without_control(str(code)), without_control(str(get(errors.message, body) or ""))


def action_of(errors: Errors, code: str | None, status: int) -> Action:
    """What to do about an error: by its code, else by its status in the source file, else by `STATUS_ACTIONS`.

    The source file's actions are for errors of the vendor: without a code in the body they do not count.
    """
    own = errors.actions if code is not None else {}
    if code in own:
        return own[code]
    for name in (str(status), f"{status // 100}xx"):
        if action := own.get(f"http {name}") or STATUS_ACTIONS.get(name):
            return action
    return "away" if code is None else errors.otherwise
