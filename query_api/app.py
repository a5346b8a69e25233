"""The HTTP interface: routes, and what each promises."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from lib.clock import Clock
from lib.errors import TopcoinsError
from lib.schema import OWN, Series
from lib.store import Store
from query_api import metrics, problems
from query_api.answers import STORE_RESPONSES, TOP_RESPONSES
from query_api.asof import COLUMNS
from query_api.ledger import LONGEST, GapsAnswer, ledger
from query_api.metrics import Counted, Metrics
from query_api.negotiation import negotiated
from query_api.question import (
    FormatName,
    Instant,
    Limit,
    MaxAge,
    Question,
    asked_age,
    asked_columns,
    asked_instant,
    asked_range,
    known_parameters,
)
from query_api.reply import listed, reply
from query_api.status import Status, status
from query_api.top import TopLists
from query_api.warm import FRESH_UNTIL, Warm

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def create_app(
    store: Store,
    *,
    clock: Clock,
    max_skew: timedelta,
    max_age: timedelta,
    spools: Path,
    extras: Sequence[Series] = (),
) -> ASGIApp:
    """The whole API over one store. Holds no other state than its metrics and the answers of this second.

    `spools` is the ingestors' spool folder, for the status; it need not be there.
    """
    default_age = max_age
    counters = Metrics()
    lists = TopLists(store, max_skew=max_skew, extras=extras)
    series = [*OWN, *(extra.name for extra in extras)]

    app = FastAPIOffline(
        title="topcoins",
        version="1",
        description="The top coins by 24h volume, with USD prices, as of any minute of the archive.",
        dependencies=[Depends(known_parameters)],
        redirect_slashes=False,
    )
    problems.install(app)
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
        chosen = negotiated(format, listed(request, "accept"))
        question = Question(
            at=asked_instant(datetime, now),
            moving=datetime is None or datetime.startswith("now"),
            limit=limit,
            max_age=default_age if max_age is None else asked_age(max_age),
            format=chosen,
            columns=asked_columns(columns, chosen, known),
        )
        answer = await lists.at(question.at, limit=limit, max_age=question.max_age)
        request.scope[FRESH_UNTIL] = now.replace(microsecond=0) + SECOND
        return await reply(request, question, answer, now)

    async def current_status() -> Status:
        """Newest ticks, their ages, sources, credits and spools; expected against stored ticks of the last hour."""
        return await status(store, series, clock(), spools=spools)

    async def missing(
        request: Request,
        start: Annotated[Instant, Query(alias="from")] = None,
        stop: Annotated[Instant, Query(alias="to")] = None,
    ) -> GapsAnswer:
        """Expected ticks that have no snapshot between two instants, by default the last day, at most a week."""
        now = clock()
        first, last = asked_range(start, stop, now, default=DAY, longest=LONGEST)
        return await ledger(store, series, first, last, now=now, spools=spools)

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
            body = counters.exposition((await current_status()).series)
        except TopcoinsError:
            body = counters.exposition(None)
        return Response(body, media_type=metrics.MEDIA_TYPE)

    for path, name in (("/", "top"), ("/v1/top", "top_v1")):
        # The first answers, and names both methods in a 405; the second is what the document shows.
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(top)
        app.get(path, operation_id=name, summary="The top list", responses=TOP_RESPONSES, response_class=JSONResponse)(
            top
        )
    app.get("/v1/status", summary="How each series stands", responses=STORE_RESPONSES)(current_status)
    app.get("/v1/gaps", summary="Where the archive has holes, and why", responses=STORE_RESPONSES)(missing)
    for path, answer, summary in (
        ("/healthz", healthz, "Does the process run"),
        ("/readyz", readyz, "Does the store answer"),
    ):
        app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)(answer)
        app.get(path, summary=summary, responses=STORE_RESPONSES if answer is readyz else {422: TOP_RESPONSES[422]})(
            answer
        )
    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        422: TOP_RESPONSES[422],
    }
    app.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=text)(exposition)
    return Counted(Warm(app, clock=clock), metrics=counters)
