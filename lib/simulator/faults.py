"""What goes wrong, and when: a script of numbered requests, never chance."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lib.errors import SettingsRejected
from lib.simulator import refusals

Kind = Literal[
    "error", "delay", "cut", "half", "empty", "frozen", "garbage", "huge", "redirect", "wrong_types",
    "poisoned", "bomb", "cookie", "text_codes", "without", "short", "capped", "announced",
]  # fmt: skip
"""The last five are no errors, and vendors do them: codes as text, fields that are optional, pages shorter than asked
for, a list that ends after so many rows, a total count."""
Poison = Literal["prices", "no_bitcoin", "no_volumes"]
"""All prices times 16.5 million, as CoinMarketCap sent them on 2021-12-14; a list without Bitcoin; volumes all 0."""

# Per kind: what it must have, and what it may have.
_MUST: Final[Mapping[str, set[str]]] = {
    "delay": {"seconds"}, "huge": {"bytes"}, "poisoned": {"poison"}, "bomb": {"bytes"},
    "without": {"fields"}, "short": {"rows"}, "capped": {"rows"}, "announced": {"rows"},
}  # fmt: skip
_MAY: Final = {
    "error": {"preset", "status", "body", "retry_after"},
    "frozen": {"at"},
    "redirect": {"to"},
    "bomb": {"codings"},
    "garbage": {"status", "retry_after"},
}
_COMMON: Final = {"path", "first", "count", "kind"}


def _preset(name: str) -> str:
    if name not in refusals.NAMES:
        raise ValueError(f"expected one of {', '.join(refusals.NAMES)}")
    return name


class Fault(BaseModel):
    """From the `first` request of a path on, `count` requests meet this. Each path is counted by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = "*"
    first: int = Field(default=1, ge=1)
    count: int = Field(default=1, ge=1)
    kind: Kind
    preset: Annotated[str, AfterValidator(_preset)] | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    body: str = ""
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    bytes: int = Field(default=0, ge=0)
    at: AwareDatetime | None = None
    to: str = "https://elsewhere.invalid"
    poison: Poison | None = None
    codings: int = Field(default=1, ge=1, le=3)
    fields: list[str] = []
    rows: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Fault":
        required, given = _MUST.get(self.kind, set()), self.model_fields_set
        if missing := required - given:
            raise ValueError(f"a {self.kind} needs {', '.join(sorted(missing))}")
        if odd := given - required - _MAY.get(self.kind, set()) - _COMMON:
            raise ValueError(f"a {self.kind} takes no {', '.join(sorted(odd))}")
        if self.kind == "error" and (self.preset is None) == (self.status is None):
            raise ValueError("an error needs a preset, or a status (with a body), and not both")
        return self

    def meets(self, path: str, number: int) -> bool:
        """Whether this fault applies to the path's request of this number."""
        return self.first <= number < self.first + self.count and fnmatchcase(path, self.path)


class Script:
    """The faults in the order of the script, and a count of requests per path."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults: Sequence[Fault] = tuple(faults)
        self._requests: Counter[str] = Counter()
        self._frozen: dict[int, datetime] = {}

    def next(self, path: str) -> list[Fault]:
        """Count a request and return the faults it meets."""
        if not self._faults:
            return []
        self._requests[path] += 1
        return [fault for fault in self._faults if fault.meets(path, self._requests[path])]

    def frozen(self, faults: Iterable[Fault], now: datetime) -> datetime | None:
        """The instant at which the values are frozen, if they are: the fault's own, or when it was first met."""
        for fault in faults:
            if fault.kind == "frozen":
                return fault.at or self._frozen.setdefault(self._faults.index(fault), now)
        return None


def load_faults(path: Path) -> tuple[Fault, ...]:
    """The `[[fault]]` entries of a TOML file; SettingsRejected names the file, the entry and what was expected."""
    try:
        script = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise SettingsRejected(f"{path} is not a readable TOML file: {exc}") from exc
    entries = script.pop("fault", None)
    if script or not isinstance(entries, list):
        odd = f"not {', '.join(script)}" if script else 'for example [[fault]] kind = "empty"'
        raise SettingsRejected(f"{path}: expected [[fault]] entries only, {odd}")
    return tuple(_fault(path, number, entry) for number, entry in enumerate(entries, 1))


def _fault(path: Path, number: int, entry: object) -> Fault:
    try:
        if isinstance(entry, dict) and isinstance(at := entry.get("at"), datetime) and at.tzinfo is None:
            entry = {**entry, "at": at.replace(tzinfo=UTC)}  # a TOML time without an offset is UTC, as everywhere
        return Fault.model_validate(entry)
    except ValidationError as exc:
        reasons = "; ".join(
            ".".join(map(str, error["loc"])) + (": " if error["loc"] else "") + error["msg"] for error in exc.errors()
        )
        raise SettingsRejected(f"{path}: fault {number}: {reasons}") from exc
