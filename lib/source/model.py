"""What a source file may say. A broken one is refused with the file, the key and what was expected."""

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lib import schema
from lib.errors import SettingsRejected
from lib.schema import Series
from lib.settings import Duration, SourceUrl

Action = Literal["retry", "next_tick", "next_minute", "reset", "reset_month", "stop"]
"""Try again within the tick; wait for the next tick or the next minute; wait for the reset of the day's quota (UTC
midnight) or of the month's (which the quota call tells); stop until the key changes."""

_TAKEN = (schema.MARKER, schema.CLAIM, schema.TIER, "tick")


def _jmespath(text: str) -> str:
    try:
        parsed = jmespath.compile(text).parsed
    except JMESPathError as exc:
        raise ValueError(f"{text!r} is not a JMESPath: {' '.join(str(exc).split())}") from exc
    if unknown := sorted(_functions(parsed) - Functions.FUNCTION_TABLE.keys()):
        raise ValueError(f"{text!r} is not a JMESPath: it has no function {unknown[0]}()")
    return text


def _functions(node: Mapping[str, Any]) -> set[str]:
    inner = [_functions(child) for child in node["children"] if isinstance(child, dict)]
    return set().union({node["value"]} if node["type"] == "function_expression" else (), *inner)


def _name(text: str) -> str:
    if not schema.NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name; write lower-case letters, digits and _, such as market_cap")
    return text


def _free(name: str) -> str:
    if name in _TAKEN:
        raise ValueError(f"{name!r} is a name the stores use themselves; write another, such as market_cap")
    return name


def _texts(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, list) else value


Path_ = Annotated[str, Field(pattern=r"^/", description="a path that begins with /")]
Jmes = Annotated[str, AfterValidator(_jmespath)]
Name = Annotated[str, AfterValidator(_name)]


class Part(BaseModel):
    """A table of a source file: no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Request(Part):
    """Where to ask. `url_setting` names the setting that may move `url` (a proxy, the simulator)."""

    url: SourceUrl
    url_setting: Annotated[Name, Field(pattern=r"_url$")]
    path: Path_
    keyless_path: Path_ | None = None
    params: dict[str, str | int | float] = {}
    headers: dict[str, str] = {}
    timeout: Duration = timedelta(seconds=20)
    largest_answer: Annotated[int, Field(gt=0)] = 64 * 2**20


class Quota(Part):
    """Where the upstream tells, free of charge, what is left of a key's credits."""

    path: Path_
    left: Jmes
    limit: Jmes
    resets_at: Jmes


class Key(Part):
    """Which setting holds the key and which header carries it; `{key}` stands for it in `value`."""

    setting: Annotated[Name, Field(pattern=r"_api_key$")]
    header: str
    value: Annotated[str, Field(pattern=r"\{key\}")] = "{key}"
    quota: Quota | None = None


class Paging(Part):
    """How to ask for the next records: by `page` number, or by `offset` of the first record."""

    by: Literal["page", "offset"]
    parameter: str
    first: int = 1
    size_parameter: str
    size: Annotated[int, Field(ge=1)]
    exact_size: bool = False
    most_pages: Annotated[int, Field(ge=1, le=1000)] = 100
    total: Jmes | None = None


class Records(Part):
    """Where the records are, what is computed once per record (`let`), and which are taken (`where`)."""

    at: Jmes
    let: dict[Name, Jmes] = {}
    where: list[Jmes] = []


class Errors(Part):
    """How the upstream says no, whatever the HTTP status, and what to do about each of its codes."""

    code: Jmes
    message: Jmes
    fine: Annotated[list[str], BeforeValidator(_texts)] = ["0"]
    actions: dict[str, Action] = {}
    otherwise: Action = "next_tick"

    def action(self, code: str | None, status: int) -> Action:
        """What to do about this code, else about this HTTP status."""
        for name in (code, f"http {status}", f"http {status // 100}xx"):
            if name is not None and name in self.actions:
                return self.actions[name]
        return self.otherwise


class Pace(Part):
    """The shortest interval this source may be asked at without a key."""

    keyless: Duration = timedelta(minutes=5)


class Daily(Part):
    """A list of a past UTC day, as it stood at the day's end: which `parameter` carries the date, and its price."""

    parameter: str
    assets_per_credit: Annotated[int, Field(ge=1)]


class SourceFile(Part):
    """One source, as its file describes it."""

    name: Name
    series: Annotated[Name, AfterValidator(_free)]
    request: Request
    key: Key | None = None
    pace: Pace = Pace()
    daily: Daily | None = None
    paging: Paging
    records: Records
    fields: dict[Annotated[Name, AfterValidator(_free)], Jmes]
    units: dict[Name, str] = {}
    cost: Jmes | None = None
    errors: Errors

    @model_validator(mode="after")
    def _fields_fit_the_series(self) -> Self:
        wanted = {
            "price": ("cmc_id", "usd", "symbol", "name", "volume_usd"),
            "volume_rank": ("cmc_id", "volume_usd"),
        }.get(self.series, ("cmc_id",))
        if missing := [name for name in wanted if name not in self.fields]:
            raise ValueError(f"fields: a source of {self.series} must say where {', '.join(missing)} is")
        if not self.values.fields:
            raise ValueError("fields: nothing to measure; name a field beside cmc_id and volume_usd")
        return self

    @cached_property
    def values(self) -> Series:
        """The series this source fills: one of topcoins' own, or one this file declares."""
        if own := schema.OWN.get(self.series):
            return own
        measured = tuple(name for name in self.fields if name not in (schema.ID, "volume_usd"))
        return Series(self.series, (), measured, self.units)

    def filling(self, series: Series) -> Self:
        """This source, when it fills `series`; SettingsRejected otherwise."""
        if self.series != series.name:
            raise SettingsRejected(f"source {self.name} fills {self.series}; a source of {series.name} is wanted")
        if self.daily:
            raise SettingsRejected(f"source {self.name} tells past days, for topcoins backfill; it can't be polled")
        return self


def read_source(path: Path) -> SourceFile:
    """The source a file describes; SettingsRejected names the file, the key and what was expected."""
    try:
        return SourceFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsRejected(f"source file {path} can't be read: {exc}") from exc
    except ValidationError as exc:
        raise SettingsRejected(f"source file {path}: {_sentence(exc)}") from None


def _sentence(exc: ValidationError) -> str:
    def one(error: Any) -> str:
        key = ".".join(str(part) for part in error["loc"])
        reason = error["msg"].removeprefix("Value error, ")
        return f"{key}: {reason}" if key else reason

    return "; ".join(one(error) for error in exc.errors(include_url=False)[:3])
