"""`/v1/export`: who was in the list at each step of a span, as one file."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response, StreamingResponse

from lib.clock import isoformat
from lib.instants import DURATION
from query_api.features.export.response import EXPORT_TYPES, ExportFormat, exported
from query_api.features.export.work import MOST_STEPS, Span, begun, steps
from query_api.http.parameters import Instant, KnownAt, Limit, parse_every, parse_known_at, parse_range
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.responses import STORE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.services import Services

DAY = timedelta(days=1)
EVER = timedelta(days=100 * 366)
_EXAMPLES = {
    "csv": "step,rank,cmc_id,symbol,…,gap\r\n2026-11-17T14:00:00Z,1,825,USDT,…,\r\n#end,,,,…,steps=1 …\r\n",
    "ndjson": '{"requested_at":"2026-11-17T14:00:00Z",…,"data":[…]}\n{"end":true,"steps":1,…}\n',
}
_CONTENT = {
    kind: {"schema": {"type": "string"}, "example": _EXAMPLES[name]}
    if name in _EXAMPLES
    else {"schema": {"type": "string", "format": "binary"}}
    for name, kind in EXPORT_TYPES.items()
}
_SHOWN = {200: {"description": "The file; without its end it was cut off", "content": _CONTENT}, **STORE_RESPONSES}

Every = Annotated[
    str,
    Query(
        description=f"The distance between steps; at most {MOST_STEPS} steps a request",
        examples=[EXAMPLES["every"]],
        max_length=32,
        json_schema_extra={"pattern": f"^{DURATION}$"},
    ),
]
FileFormat = Annotated[
    str,
    Query(
        description="csv, ndjson or parquet, in any case",
        examples=["ndjson"],
        max_length=16,
        json_schema_extra={"pattern": "^(?:[cC][sS][vV]|[nN][dD][jJ][sS][oO][nN]|[pP][aA][rR][qQ][uU][eE][tT])$"},
    ),
]


def install(app: FastAPI, services: Services) -> None:
    """The export."""

    async def export(
        request: Request,
        start: Annotated[Instant, Query(alias="from")] = None,
        stop: Annotated[Instant, Query(alias="to")] = None,
        every: Every = "1h",
        top: Limit = 200,
        format: FileFormat = "csv",
        known_at: KnownAt = None,
    ) -> Response:
        """The top `top` as of each step: from `from` on (default: a day before `to`), before `to` (default: now)."""
        now = services.clock()
        first, last = parse_range(start, stop, now, default=DAY, longest=EVER)
        span = asked_span(Span(first, last, parse_every(every)), every)
        chosen = asked_file(format)
        known = parse_known_at(known_at, now)
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="topcoins-{first:%Y%m%dT%H%M%SZ}-{span.steps}.{chosen}"',
            "x-from": isoformat(first),
            "x-to": isoformat(last),
            "x-steps": str(span.steps),
        }
        if request.method == "HEAD":
            return Response(headers=headers, media_type=EXPORT_TYPES[chosen])
        found = await begun(steps(services.lists, span, limit=top, max_age=services.max_age, known_at=known))
        body = exported(chosen, found, limit=top, extras=services.extras)
        return StreamingResponse(body, headers=headers, media_type=EXPORT_TYPES[chosen])

    shown = {"summary": "Who was in the list, step by step", "responses": _SHOWN, "response_class": StreamingResponse}
    get_and_head(app, "/v1/export", export, **shown)


def asked_span(span: Span, every: str) -> Span:
    """A span of no more steps than a request may have."""
    if span.steps > MOST_STEPS:
        why = f"makes {span.steps} steps; a request may have {MOST_STEPS}: take a longer one, or a shorter span"
        raise BadRequest("every", every, why, EXAMPLES["every"])
    return span


def asked_file(text: str) -> ExportFormat:
    """The `format` parameter of an export."""
    for name in EXPORT_TYPES:
        if text.lower() == name:
            return name
    raise BadRequest("format", text, f"is no format of an export; they are {', '.join(EXPORT_TYPES)}", "ndjson")
