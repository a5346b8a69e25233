"""The HTTP interface: routes, and what each promises."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from lib.clock import Clock, isoformat
from lib.errors import TopcoinsError
from lib.schema import OWN, Series
from lib.store import Store
from lib.units import parse_duration
from query_api import metrics, problems
from query_api.answers import STORE_RESPONSES, TOP_RESPONSES
from query_api.asof import COLUMNS
from query_api.formats import CSV_DEFAULT, to_csv, to_json
from query_api.instant import DURATION, FORMS, SHAPE, parse_instant
from query_api.metrics import Counted, Metrics
from query_api.negotiation import MEDIA_TYPES, Format, negotiated
from query_api.problems import EXAMPLES, BadRequest
from query_api.status import Status, next_tick, status
from query_api.top import Top, TopLists
from query_api.warm import FRESH_UNTIL, Warm

SECOND = timedelta(seconds=1)
DAY_S = 86400
LONGEST_AGE = timedelta(days=1)

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


@dataclass(frozen=True, slots=True)
class Question:
    """A top list asked for, every parameter judged. `moving` when the instant moves with the clock."""

    at: datetime
    moving: bool
    limit: int
    max_age: timedelta
    format: Format
    columns: tuple[str, ...]


def create_app(
    store: Store, *, clock: Clock, max_skew: timedelta, max_age: timedelta, extras: Sequence[Series] = ()
) -> ASGIApp:
    """The whole API over one store. Holds no other state than its metrics and the answers of this second."""
    counters = Metrics()
    return Counted(Warm(_routes(store, clock, max_skew, max_age, extras, counters), clock=clock), metrics=counters)


def _routes(
    store: Store, clock: Clock, max_skew: timedelta, max_age: timedelta, extras: Sequence[Series], counters: Metrics
) -> FastAPI:
    app = FastAPIOffline(
        title="topcoins",
        version="1",
        description="The top coins by 24h volume, with USD prices, as of any minute of the archive.",
        dependencies=[Depends(_known_parameters)],
    )
    problems.install(app)
    lists = TopLists(store, max_skew=max_skew, extras=extras)
    series = [*OWN, *(extra.name for extra in extras)]
    known = [*COLUMNS, *(field for extra in extras for field in extra.fields)]
    one = f" *(?:{'|'.join(known)}) *"
    which = Query(
        default=None,
        description=f"For CSV: which of {', '.join(known)}",
        max_length=4096,
        json_schema_extra={"pattern": f"^{one}(?:,{one})*$"},
    )

    async def top(
        request: Request,
        limit: Limit = 200,
        datetime: Instant = None,
        format: FormatName = None,
        max_age: MaxAge = None,
        columns: str | SkipJsonSchema[None] = which,
    ) -> Response:
        """The top `limit` assets by 24h volume as of `datetime`, with USD prices."""
        now = clock()
        chosen = negotiated(format, _listed(request, "accept"))
        question = Question(
            at=_instant(datetime, now),
            moving=datetime is None or datetime.startswith("now"),
            limit=limit,
            max_age=default_age if max_age is None else _age(max_age),
            format=chosen,
            columns=_columns(columns, chosen, known),
        )
        answer = await lists.at(question.at, limit=limit, max_age=question.max_age)
        request.scope[FRESH_UNTIL] = now.replace(microsecond=0) + SECOND
        return _response(request, question, answer, now)

    default_age = max_age

    async def current_status() -> Status:
        """Newest ticks, their ages, sources and credits; expected against stored ticks of the last hour."""
        return await status(store, series, clock())

    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    async def readyz() -> dict[str, str]:
        """The store answers a real query."""
        await store.ready()
        return {"status": "ready"}

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        try:
            body = counters.exposition((await status(store, series, clock())).series)
        except TopcoinsError:
            body = counters.exposition(None)
        return Response(body, media_type=metrics.MEDIA_TYPE)

    for path, name in (("/", "top"), ("/v1/top", "top_v1")):
        # The first answers, and names both methods in a 405; the second is what the document shows.
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(top)
        app.get(path, operation_id=name, responses=TOP_RESPONSES, response_class=JSONResponse)(top)
    app.get("/v1/status", responses=STORE_RESPONSES)(current_status)
    app.get("/healthz", responses={422: TOP_RESPONSES[422]})(healthz)
    app.get("/readyz", responses=STORE_RESPONSES)(readyz)
    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        422: TOP_RESPONSES[422],
    }
    app.get("/metrics", response_class=Response, responses=text)(exposition)
    return app


def _known_parameters(request: Request) -> None:
    """A parameter that is unknown, or given twice, is an error and not a guess."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    known = [parameter.alias for parameter in dependant.query_params] if dependant else []
    seen = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            takes = f"this address takes {', '.join(known)}" if known else "this address takes none"
            raise BadRequest(name, value, f"is no parameter here; {takes}", EXAMPLES.get(name, ""))
        if name in seen:
            raise BadRequest(name, value, "is given twice; once is enough", EXAMPLES.get(name, ""))
        seen.add(name)


def _instant(text: str | None, now: datetime) -> datetime:
    try:
        return parse_instant("now" if text is None else text, now.replace(microsecond=0))
    except ValueError as exc:
        raise BadRequest("datetime", text, str(exc), EXAMPLES["datetime"]) from exc


def _age(text: str) -> timedelta:
    try:
        age = parse_duration(text)
    except ValueError as exc:
        raise BadRequest("max_age", text, str(exc), EXAMPLES["max_age"]) from exc
    if not timedelta() < age <= LONGEST_AGE:
        raise BadRequest("max_age", text, "must be above 0 and at most 24h", EXAMPLES["max_age"])
    return age


def _columns(text: str | None, chosen: Format, known: Sequence[str]) -> tuple[str, ...]:
    if text is None:
        return CSV_DEFAULT
    if chosen != "csv":
        raise BadRequest("columns", text, "is for CSV only; JSON always has all", "format=csv&columns=rank,symbol")
    names = tuple(name.strip(" ") for name in text.split(","))
    for name in names:
        if name not in known:
            raise BadRequest(
                "columns", text, f"{name!r} is no column; they are {', '.join(known)}", EXAMPLES["columns"]
            )
    if len(set(names)) < len(names):
        raise BadRequest("columns", text, "names a column twice", EXAMPLES["columns"])
    return names


def _response(request: Request, question: Question, answer: Top, now: datetime) -> Response:
    body = to_json(answer, question.limit) if question.format == "json" else to_csv(answer, question.columns)
    headers = {
        "etag": _etag(question, answer, body),
        "cache-control": f"public, max-age={_keep(question, answer, now)}",
        "vary": "Accept",
        "x-requested-at": isoformat(answer.at),
        "x-price-time": isoformat(answer.pair.price.tick),
        "x-rank-time": isoformat(answer.pair.rank.tick),
        "x-price-source": answer.pair.price.source,
        "x-rank-source": answer.pair.rank.source,
        "x-resolution": answer.resolution,
    }
    if _unchanged(_listed(request, "if-none-match"), headers["etag"]):
        return Response(status_code=304, headers=headers)
    headers["content-length"] = str(len(body))
    shown = b"" if request.method == "HEAD" else body
    return Response(shown, headers=headers, media_type=MEDIA_TYPES[question.format])


def _listed(request: Request, header: str) -> str | None:
    """A header that is a list may come in several lines."""
    return ", ".join(request.headers.getlist(header)) or None


def _etag(question: Question, answer: Top, body: bytes) -> str:
    """Strong for a fixed instant. A moving one differs by its own time each second: weak, over what it stands on."""
    if not question.moving:
        return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    price, rank = answer.pair.price, answer.pair.rank
    stands_on = (price.tick, price.observed_at, rank.tick, rank.observed_at, answer.resolution, answer.extras)
    asked = (question.limit, question.format, question.columns)
    return f'W/"{hashlib.blake2b(repr((stands_on, asked)).encode(), digest_size=16).hexdigest()}"'


def _keep(question: Question, answer: Top, now: datetime) -> int:
    """Seconds a copy may be kept: a day once the past is settled, else until the next tick."""
    if not question.moving and question.at < now - question.max_age - answer.pair.price.interval:
        return DAY_S
    following = min(next_tick(answer.pair.price), next_tick(answer.pair.rank))
    return max(1, round((following - now).total_seconds()))


def _unchanged(if_none_match: str | None, etag: str) -> bool:
    """RFC 9110, 13.1.2: If-None-Match compares weakly."""
    if if_none_match is None:
        return False
    own = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") in (own, "*") for tag in if_none_match.split(","))
