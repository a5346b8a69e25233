"""The parameters of requests: how the OpenAPI document shows them, and how each is parsed."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from lib.instants import DURATION, FORMS, SHAPE, parse_instant
from lib.units import format_duration, parse_duration
from query_api.asof.asset import By
from query_api.asof.filters import FLAGS, Filters
from query_api.http.content_type import Format
from query_api.http.problems import EXAMPLES, BadRequest

LONGEST_AGE = timedelta(days=1)
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
_NAMED = "[^,]*[^, ][^,]*"
_KIND = f" *(?:{'|'.join(FLAGS)}) *"
_ID = " *[0-9]{1,8} *"


async def parse_filters(  # async, as all that a route depends on: what is not waits for a thread
    exclude: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description=f"Without these kinds of assets: {', '.join(FLAGS)}",
            examples=[EXAMPLES["exclude"]],
            max_length=64,
            json_schema_extra={"pattern": f"^{_KIND}(?:,{_KIND})*$"},
        ),
    ] = None,
    max_volume_to_cap: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | SkipJsonSchema[None],
        Query(
            description="Without assets that trade more than this many times their market cap in 24 h",
            examples=[0.5],
        ),
    ] = None,
    symbols: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="Only assets with these tickers, in any case; a shared one gives all that have it",
            examples=[EXAMPLES["symbols"]],
            max_length=4096,
            json_schema_extra={"pattern": f"^{_NAMED}(?:,{_NAMED})*$"},
        ),
    ] = None,
    ids: Annotated[
        str | SkipJsonSchema[None],
        Query(
            description="Only assets with these CoinMarketCap ids; with symbols, those of either",
            examples=[EXAMPLES["ids"]],
            max_length=4096,
            json_schema_extra={"pattern": f"^{_ID}(?:,{_ID})*$"},
        ),
    ] = None,
) -> Filters:
    """The parameters that filter a list."""
    kinds, tickers, numbers = _items("exclude", exclude), _items("symbols", symbols), _items("ids", ids)
    for name in kinds:
        if name not in FLAGS:
            why = f"{name!r} cannot be excluded; these can: {', '.join(FLAGS)}"
            raise BadRequest("exclude", exclude, why, EXAMPLES["exclude"])
    for number in numbers:
        if not re.fullmatch(_ID, number):
            raise BadRequest("ids", ids, f"{number!r} is no CoinMarketCap id", EXAMPLES["ids"])
    return Filters(tuple(sorted(set(kinds))), max_volume_to_cap, tickers, tuple(int(number) for number in numbers))


def _items(parameter: str, text: str | None) -> tuple[str, ...]:
    items = () if text is None else tuple(item.strip(" ") for item in text.split(","))
    if not all(items):
        raise BadRequest(parameter, text, "has an empty item", EXAMPLES[parameter])
    return items


Filtering = Annotated[Filters, Depends(parse_filters)]


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
    start: str | None, stop: str | None, now: datetime, *, default: timedelta, longest: timedelta
) -> tuple[datetime, datetime]:
    """The `from` and `to` parameters. By default `to` is now, and `from` is `default` before it."""
    last = parse_bound(stop, now, "to")
    first = parse_bound(start, now, "from") if start is not None else max(last - default, EPOCH)
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
