"""What a command's exit code means. `docs/api.md` lists the codes."""

from enum import IntEnum

from lib.errors import Rejected, TopcoinsError, Unavailable


class ExitCode(IntEnum):
    """Why a command ended."""

    FAILED = 1
    WRONG_USE = 2
    NO_DATA = 3
    NO_ANSWER = 4
    NOT_ALLOWED = 5


class Refused(TopcoinsError):
    """A running API refused a request, or there is none."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code


def exit_code(error: Exception) -> ExitCode:
    """The exit code of a command that ends with this error."""
    match error:
        case Refused():
            return error.code
        case Rejected() | ValueError():
            return ExitCode.WRONG_USE
        case Unavailable():
            return ExitCode.NO_ANSWER
    return ExitCode.FAILED
