"""The parameters of requests: how the OpenAPI document shows them, and how each is parsed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated

from fastapi import Path, Query, Request
from pydantic.json_schema import SkipJsonSchema

from lib.instants import DURATION, FORMS, SHAPE, parse_instant
from lib.units import format_duration, parse_duration
from query_api.asof.asset import By
from query_api.http.content_type import Format
from query_api.http.problems import EXAMPLES, BadRequest

DAY = timedelta(days=1)
LONGEST_AGE = DAY
LONGEST_RANGE = timedelta(days=100 * 366)
CSV_COLUMNS = "format=csv&columns=rank,symbol"
EPOCH = datetime(1970, 1, 2, tzinfo=UTC)

Limit = Annotated[int, Query(ge=1, le=5000, description="How many assets, at most", examples=[200])]
Instant = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description=f"The instant asked for, default now: {FORMS}",
        examples=[EXAMPLES["datetime"]],
        max_length=64,
        json_schema_extra={"pattern": SHAPE},
    ),
]
KnownAt = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="Only what the store had at this instant counts, default now; the forms of datetime",
        examples=[EXAMPLES["known_at"]],
        max_length=64,
        json_schema_extra={"pattern": SHAPE},
    ),
]
FormatName = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="json or csv, in any case; else the Accept header decides",
        examples=[EXAMPLES["format"]],
        max_length=16,
        json_schema_extra={"pattern": "^(?:[jJ][sS][oO][nN]|[cC][sS][vV])$"},
    ),
]
MaxAge = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="How far before the instant a snapshot may lie, at most 24h",
        examples=[EXAMPLES["max_age"]],
        max_length=32,
        json_schema_extra={"pattern": f"^{DURATION}$"},
    ),
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
    str | SkipJsonSchema[None],
    Query(
        description="`symbol`: the name is a ticker, also where it is digits",
        examples=[EXAMPLES["by"]],
        max_length=16,
        json_schema_extra={"pattern": "^[sS][yY][mM][bB][oO][lL]$"},
    ),
]


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that is unknown or given twice."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    declared = [dependant, *dependant.dependencies] if dependant else []
    known = [parameter.alias for each in declared for parameter in each.query_params]
    seen = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            takes = f"this address takes {', '.join(known)}" if known else "this address takes none"
            raise BadRequest(
                name, value, f"is no parameter here; {takes}", _suggestion(name, known) or request.url.path
            )
        if name in seen:
            raise BadRequest(name, value, "is given twice; once is enough", EXAMPLES.get(name, ""))
        seen.add(name)


def _suggestion(name: str, known: Sequence[str]) -> str:
    """The known parameter most like an unknown one, with a valid value; empty if the address has none."""
    for like in get_close_matches(name.lower(), known, 1, cutoff=0):
        return CSV_COLUMNS if like == "columns" else f"{like}={EXAMPLES[like]}"
    return ""


def parse_datetime(text: str | None, now: datetime, parameter: str = "datetime") -> datetime:
    """A parameter that is an instant. Without one it is now, in whole seconds."""
    try:
        return parse_instant("now" if text is None else text, now.replace(microsecond=0))
    except ValueError as exc:
        raise BadRequest(parameter, text, str(exc), EXAMPLES[parameter]) from exc


def parse_known_at(text: str | None, now: datetime) -> datetime | None:
    """The `known_at` parameter; None without one."""
    return None if text is None else parse_datetime(text, now, "known_at")


def depends_on_now(*instants: str | None, known_at: str | None = None) -> bool:
    """Whether an answer changes as time passes. An instant that is missing is now."""
    return any(text is None or text.startswith("now") for text in (*instants, known_at or "-"))


def parse_bound(text: str | None, now: datetime, name: str) -> datetime:
    """The begin or end of a range. Refuses instants so early that subtraction would fail."""
    at = parse_datetime(text, now, name)
    if at < EPOCH:
        raise BadRequest(name, text, f"lies before {EPOCH:%Y-%m-%d}, the first day we accept", EXAMPLES[name])
    return at


def parse_range(
    start: str | None, stop: str | None, now: datetime, *, longest: timedelta = LONGEST_RANGE
) -> tuple[datetime, datetime]:
    """The `from` and `to` parameters. By default `to` is now, and `from` is a day before it."""
    last = parse_bound(stop, now, "to")
    first = parse_bound(start, now, "from") if start is not None else max(last - DAY, EPOCH)
    if first > last:
        raise BadRequest("from", start, "lies after `to`", EXAMPLES["from"])
    if last - first > longest:
        raise BadRequest("from", start, f"lies more than {format_duration(longest)} before `to`", EXAMPLES["from"])
    return first, last


def parse_max_age(text: str) -> timedelta:
    """The `max_age` parameter."""
    age = parse_span("max_age", text)
    if not timedelta() < age <= LONGEST_AGE:
        raise BadRequest("max_age", text, "must be above 0 and at most 24h", EXAMPLES["max_age"])
    return age


def parse_every(text: str) -> timedelta:
    """The `every` parameter."""
    every = parse_span("every", text)
    if not every:
        raise BadRequest("every", text, "must be above 0", EXAMPLES["every"])
    return every


def parse_span(parameter: str, text: str) -> timedelta:
    """A parameter that is a duration."""
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise BadRequest(parameter, text, str(exc), EXAMPLES[parameter]) from exc


def parse_columns(text: str | None, chosen: Format, known: Sequence[str]) -> tuple[str, ...] | None:
    """The `columns` parameter, of the known columns; None without one."""
    if text is None:
        return None
    if chosen != "csv":
        raise BadRequest("columns", text, "is for CSV only; JSON always has all", CSV_COLUMNS)
    names = tuple(name.strip(" ") for name in text.split(","))
    for name in names:
        if name not in known:
            raise BadRequest(
                "columns", text, f"{name!r} is no column; they are {', '.join(known)}", EXAMPLES["columns"]
            )
    if len(set(names)) < len(names):
        raise BadRequest("columns", text, "names a column twice", EXAMPLES["columns"])
    return names


def parse_by(text: str | None) -> By | None:
    """The `by` parameter."""
    if text is None or text.lower() == "symbol":
        return None if text is None else "symbol"
    raise BadRequest("by", text, "is no way to name an asset; leave it out, or ask by symbol", EXAMPLES["by"])
