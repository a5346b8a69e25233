"""What an upstream's error means: by the vendor's own error, for which its source file has actions, else by the status.

Only an error in the body can stop a source for long: any proxy on the way may answer with a status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lib.source.expression import get
from lib.source.model import Action, Errors
from lib.text import without_control

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


@dataclass(frozen=True, slots=True)
class VendorError:
    """The code and the message of an answer's body."""

    code: str
    message: str


def vendor_error(errors: Errors, body: Any) -> VendorError | None:
    """The error that a body reports, whatever its HTTP status; None where it reports none."""
    code = get(errors.code, body)
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if code is None or str(code) in errors.fine:
        return None
    return VendorError(without_control(str(code)), without_control(str(get(errors.message, body) or "")))


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
