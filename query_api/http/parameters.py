"""The parameters of requests: how the OpenAPI document shows them, and how each is parsed."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args

from fastapi import Path, Query
from pydantic.json_schema import SkipJsonSchema

from lib.clock import DAY
from lib.columns import MORE, names
from lib.instants import DURATION, FORMS, SHAPE, is_absolute, parse_instant
from lib.text import no_column
from lib.units import format_duration, parse_duration
from query_api.asof.asset import By
from query_api.asof.filters import Sort
from query_api.http.content_type import MEDIA_TYPES, Format, TableFormat
from query_api.http.problems import EXAMPLES, BadRequest

LONGEST_RANGE = timedelta(days=100 * 366)
CSV_COLUMNS = "format=csv&columns=symbol"
EPOCH = datetime(1970, 1, 2, tzinfo=UTC)

Choice = TypeVar("Choice", bound=str)

OptionalText = str | SkipJsonSchema[None]


def text_query(name: str, description: str, pattern: str, max_length: int, example: str | None = None) -> Any:
    """A query parameter that is text, as the OpenAPI document shows it."""
    examples, schema = [example or EXAMPLES[name]], {"pattern": pattern}
    return Query(description=description, examples=examples, max_length=max_length, json_schema_extra=schema)


def duration_query(name: str, description: str) -> Any:
    """A query parameter that is a duration."""
    return text_query(name, description, f"^{DURATION}$", 32)


def any_case(names: Iterable[str]) -> str:
    """A pattern of these names in upper and lower case."""
    return f"^(?:{'|'.join(''.join(f'[{letter}{letter.upper()}]' for letter in name) for name in names)})$"


def format_query(names: Collection[str]) -> Any:
    """A query parameter that is a format."""
    description = f"{', '.join(names)}, in any case; else the Accept header decides"
    return text_query("format", description, any_case(names), 16)


def list_of(item: str) -> str:
    """A pattern of items separated by commas."""
    return f"^{item}(?:,{item})*$"


def some_of(names: Iterable[str]) -> str:
    """A pattern of some of these names, separated by commas."""
    return list_of(f" *(?:{'|'.join(names)}) *")


@cache
def optional_query(description: str, pattern: str, max_length: int, example: str | None = None) -> Any:
    """An optional query parameter that is text; the same object for the same arguments."""
    examples, schema = [example] if example else None, {"pattern": pattern}
    return Query(
        default=None, description=description, examples=examples, max_length=max_length, json_schema_extra=schema
    )


def columns_query(description: str, names: Iterable[str], example: str | None = None) -> Any:
    """A query parameter that chooses among columns."""
    return optional_query(description, some_of(names), 4096, example)


Limit = Annotated[int, Query(ge=1, le=5000, description="How many assets, at most", examples=[200])]
Instant = Annotated[OptionalText, text_query("datetime", f"The instant asked for, default now: {FORMS}", SHAPE, 64)]
Start = Annotated[Instant, Query(alias="from")]
Stop = Annotated[Instant, Query(alias="to")]
KnownAt = Annotated[
    OptionalText,
    text_query(
        "known_at", "Only what the store had at this instant counts, default now; the forms of datetime", SHAPE, 64
    ),
]
FormatName = Annotated[OptionalText, format_query(MEDIA_TYPES)]
ROW_FORMATS: tuple[Literal["json"] | TableFormat, ...] = ("json", *get_args(TableFormat))
"""Of an answer whose rows are not a list for people to read."""
RowFormatName = Annotated[OptionalText, format_query(ROW_FORMATS)]
MaxAge = Annotated[
    OptionalText, duration_query("max_age", "How far before the instant a snapshot may lie, at most 24h")
]
AssetName = Annotated[
    str,
    Path(
        description="A CoinMarketCap id, or a ticker in any case that only one asset has then; digits are an id",
        examples=["1", EXAMPLES["id"]],
        max_length=256,
        json_schema_extra={"pattern": "^[^/]+$"},
    ),
]
ByName = Annotated[
    OptionalText,
    text_query("by", "`symbol`: the name is a ticker, also where it is digits", "^[sS][yY][mM][bB][oO][lL]$", 16),
]


def parse_datetime(text: str | None, now: datetime, parameter: str = "datetime") -> datetime:
    """A parameter that is an instant. Without one it is now, in whole seconds."""
    try:
        return parse_instant("now" if text is None else text, now.replace(microsecond=0))
    except ValueError as exc:
        raise BadRequest(parameter, text, str(exc)) from exc


def parse_known_at(text: str | None, now: datetime) -> datetime | None:
    """The `known_at` parameter; None without one."""
    return None if text is None else parse_datetime(text, now, "known_at")


@dataclass(frozen=True, slots=True)
class AsOfParameters:
    """What a request asks of its answers. `now` is when it came; with `depends_on_now` an instant moves with it."""

    now: datetime
    max_age: timedelta | None
    known_at: datetime | None
    depends_on_now: bool


def parse_as_of(
    *instants: str | None, max_age: str | None, known_at: str | None, now: datetime, default_age: timedelta | None
) -> AsOfParameters:
    """The parameters of answers as of these instants."""
    age = parse_max_age(max_age, default_age)
    return AsOfParameters(now, age, parse_known_at(known_at, now), depends_on_now(*instants, known_at=known_at))


def parse_max_age(text: str | None, default_age: timedelta | None) -> timedelta | None:
    """The `max_age` parameter; without one the default."""
    if text is None:
        return default_age
    return parse_span("max_age", text, "must be above 0 and at most 24h", longest=DAY)


def depends_on_now(*instants: str | None, known_at: str | None = None) -> bool:
    """Whether an answer changes as time passes. An instant that is missing is now."""
    given = (*instants, known_at) if known_at else instants
    return any(text is None or not is_absolute(text) for text in given)


def parse_bound(text: str | None, now: datetime, name: str) -> datetime:
    """The begin or end of a range. Refuses instants so early that subtraction would fail."""
    at = parse_datetime(text, now, name)
    if at < EPOCH:
        raise BadRequest(name, text, f"lies before {EPOCH:%Y-%m-%d}, the first day we accept")
    return at


def parse_range(
    start: str | None, stop: str | None, now: datetime, *, longest: timedelta = LONGEST_RANGE
) -> tuple[datetime, datetime]:
    """The `from` and `to` parameters. By default `to` is now, and `from` is a day before it."""
    last = parse_bound(stop, now, "to")
    first = parse_bound(start, now, "from") if start is not None else max(last - DAY, EPOCH)
    if first > last:
        raise BadRequest("from", start, "lies after `to`")
    if last - first > longest:
        raise BadRequest("from", start, f"lies more than {format_duration(longest)} before `to`")
    return first, last


def parse_span(
    parameter: str,
    text: str,
    limits: str,
    shortest: timedelta = timedelta.resolution,
    longest: timedelta = timedelta.max,
) -> timedelta:
    """A parameter that is a duration between two others, which `limits` names."""
    try:
        span = parse_duration(text)
    except ValueError as exc:
        raise BadRequest(parameter, text, str(exc)) from exc
    if not shortest <= span <= longest:
        raise BadRequest(parameter, text, limits)
    return span


def parse_choice(parameter: str, text: str, choices: Iterable[Choice], why: str, example: str | None = None) -> Choice:
    """A parameter that is one of a few names, in lower case; `why` says what else it may not be."""
    for name in choices:
        if text == name:
            return name
    raise BadRequest(parameter, text, why, example)


def parse_columns(
    text: str | None, chosen: Format, known: Sequence[str], example: str = EXAMPLES["columns"]
) -> tuple[str, ...] | None:
    """The `columns` parameter, of the known columns; None without one."""
    if text is None:
        return None
    if chosen == "json":
        raise BadRequest(
            "columns", text, "is for the other formats; JSON always has all", f"format=csv&columns={example}"
        )
    names = tuple(name.strip(" ") for name in text.split(","))
    for name in names:
        if name not in known:
            raise BadRequest("columns", text, no_column(name, known), example)
    if len(set(names)) < len(names):
        raise BadRequest("columns", text, "names a column twice", example)
    return names


def parse_sort(text: str | None, known: Sequence[str]) -> Sort | None:
    """The `sort` parameter: a known column, with `-` before it from the largest down; None without one."""
    if text is None:
        return None
    column = text.removeprefix("-")
    if column not in known:
        raise BadRequest("sort", text, no_column(column, known))
    return Sort(column, descending=text.startswith("-"))


def parse_more(text: str | None, known: Sequence[str], *also: str) -> tuple[str, ...]:
    """The further columns among those that the `more` parameter names, all of them known, and among `also`."""
    wanted = [] if text is None else [name.strip(" ") for name in text.split(",")]
    for name in wanted:
        if name not in known:
            raise BadRequest("more", text, no_column(name, known))
    return tuple(name for name in names(MORE) if name in wanted or name in also)


def parse_by(text: str | None) -> By | None:
    """The `by` parameter."""
    if text is None or text.lower() == "symbol":
        return None if text is None else "symbol"
    raise BadRequest("by", text, "is no way to name an asset; leave it out, or ask by symbol")
