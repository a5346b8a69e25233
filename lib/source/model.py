"""What a source file may contain."""

import math
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lib import schema
from lib.errors import SettingsRejected
from lib.schema import COIN_MAP, Series
from lib.settings import Duration, SourceUrl
from lib.source.id_tables import Ids
from lib.source.part import Jmes, Name, Part, StoredName, UrlPath

Action = Literal["retry", "next_tick", "away", "next_minute", "reset", "reset_month", "gone", "too_old", "stop"]
"""Try again within the tick; with the next tick; with the next ticks, after growing pauses; with the next minute; after
the reset of the day's quota (UTC midnight) or of the month's (which the quota call reports); once an hour, because the
path is gone; no older day, because the plan does not reach back so far; once an hour, because somebody has to change
the key or the plan."""


def _texts(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, list) else value


DEFAULT_KEYLESS_PACE = timedelta(minutes=5)
"""Of a source that has a key and is asked without it. No vendor publishes a number."""


class Request(Part):
    """Where to ask. `url_setting` names the setting that may move `url` (a proxy, the simulator).

    `largest_answer` bounds the bytes of a page, `largest_reading` those of all pages of a tick. `shared = false` keeps
    answers from the other ingestors: for a large list that only one series asks for.
    """

    url: SourceUrl
    url_setting: Annotated[Name, Field(pattern=r"_url$")]
    path: UrlPath
    keyless_path: UrlPath | None = None
    params: dict[str, str | int | float] = {}
    headers: dict[str, str] = {}
    timeout: Duration = timedelta(seconds=20)
    largest_answer: Annotated[int, Field(gt=0)] = 32 * 2**20
    largest_reading: Annotated[int, Field(gt=0)] = 64 * 2**20
    shared: bool = True


class Quota(Part):
    """Where the upstream reports a key's credits: those `left`, or those `used` of a `limit`.

    Without `resets_at`, or where an answer has none, the credits are those of the calendar month. `per_minute` is where
    it reports how many requests a minute the plan allows.
    """

    path: UrlPath
    left: Jmes | None = None
    used: Jmes | None = None
    limit: Jmes | None = None
    resets_at: Jmes | None = None
    per_minute: Jmes | None = None

    @model_validator(mode="after")
    def _says_what_is_left(self) -> Self:
        if self.left or (self.used and self.limit):
            return self
        raise ValueError("name where the credits left are, or both those used and their limit")


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

    def pages(self, assets: int) -> int:
        """How many pages a list of so many assets takes."""
        return min(math.ceil(assets / self.size), self.most_pages)


class Records(Part):
    """Where the records are, what is computed once per record (`let`), and which are taken (`where`).

    `sort_by` names the field by which the whole list is ordered, the largest first, before it is cut.
    """

    at: Jmes
    let: dict[Name, Jmes] = {}
    where: list[Jmes] = []
    sort_by: Name | None = None


class Errors(Part):
    """Where the upstream's error code and message are, and what to do about each code."""

    code: Jmes
    message: Jmes
    fine: Annotated[list[str], BeforeValidator(_texts)] = ["0"]
    actions: dict[str, Action] = {}
    otherwise: Action = "next_tick"


class Pace(Part):
    """The shortest intervals at which this source may be asked: without a key, and with one."""

    keyless: Duration | None = None
    keyed: Duration | None = None


class Budget(Part):
    """The requests or credits of a calendar month by the provider's plan, where no answer reports what is left.

    topcoins counts the `cost` of each answer.
    """

    month: Annotated[int, Field(ge=1)]


class Daily(Part):
    """A list of a past UTC day, as of its end: which `parameter` carries the date, and its price."""

    parameter: str
    assets_per_credit: Annotated[int, Field(ge=1)]


class SourceFile(Part):
    """One source, as its file describes it. `timestamp` is where an answer has the upstream's own clock.

    `assets_per_credit` is for forecasts only: what an answer costs is at `cost`.
    """

    name: Name
    series: StoredName
    request: Request
    key: Key | None = None
    pace: Pace = Pace()
    budget: Budget | None = None
    id: Ids | None = None
    daily: Daily | None = None
    paging: Paging | None = None
    records: Records
    fields: dict[StoredName, Jmes]
    units: dict[Name, str] = {}
    cost: Jmes | None = None
    assets_per_credit: Annotated[int, Field(ge=1)] | None = None
    timestamp: Jmes | None = None
    errors: Errors

    @model_validator(mode="after")
    def _fields_fit_the_series(self) -> Self:
        required = {
            "price": ("usd", "symbol", "name", "volume_usd"),
            "volume_rank": ("volume_usd",),
        }.get(self.series, ())
        if schema.ID in self.fields and self.id:
            raise ValueError(f"fields: {schema.ID} is in the records or found by [id]; leave one of the two out")
        if missing := [name for name in ((() if self.id else (schema.ID,)) + required) if name not in self.fields]:
            raise ValueError(f"fields: a source of {self.series} must say where {', '.join(missing)} is")
        if self.records.sort_by and self.records.sort_by not in self.fields:
            raise ValueError(f"records.sort_by: {self.records.sort_by!r} is not in [fields], such as volume_usd")
        if not self.values.fields:
            raise ValueError("fields: nothing to measure; name a field beside cmc_id and volume_usd")
        return self

    @cached_property
    def values(self) -> Series:
        """The series this source fills: one of topcoins' own, or one that this file declares."""
        if self.series == COIN_MAP.name:
            return COIN_MAP
        if own := schema.OWN.get(self.series):
            return own
        measured = tuple(name for name in self.fields if name not in (schema.ID, "volume_usd"))
        return Series(self.series, (), measured, self.units)

    def filling(self, series: Series) -> Self:
        """This source, when it fills `series`; SettingsRejected otherwise."""
        if self.series != series.name:
            raise SettingsRejected(f"source {self.name} fills {self.series}; a source of {series.name} is wanted")
        if self.daily:
            raise SettingsRejected(f"source {self.name} lists past days, for topcoins backfill; it can't be polled")
        return self
