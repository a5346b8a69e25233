"""`/v1/export`: who was in the list at each step of a span, as one file."""

from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

from lib.clock import isoformat
from lib.instants import Span, first_step
from query_api.features.export.parquet import ParquetFiles, ParquetResponse
from query_api.features.export.response import (
    EXPORT_TYPES,
    ExportResponse,
    table_columns,
    to_csv,
    to_ndjson,
)
from query_api.features.export.work import MOST_STEPS, after_first, read_steps
from query_api.http import parameters
from query_api.http.client import client_of
from query_api.http.problems import BadRequest
from query_api.http.responses import STORE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.services import Services

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
_SHOWN = {
    200: {
        "description": "The file; without its end it was cut off. Parquet has a length and ranges",
        "content": _CONTENT,
    },
    **STORE_RESPONSES,
}

Every = Annotated[
    str, parameters.duration_query("every", f"The distance between steps; at most {MOST_STEPS} steps a request")
]
FileFormat = Annotated[
    str,
    parameters.text_query(
        "format", "csv, ndjson or parquet, in any case", parameters.any_case(EXPORT_TYPES), 16, example="ndjson"
    ),
]


def install(app: FastAPI, services: Services) -> None:
    """Add the export."""
    columns = table_columns(services.extras)
    parquet_files = ParquetFiles(services.long_work)

    async def export(
        request: Request,
        start: parameters.Start = None,
        stop: parameters.Stop = None,
        every: Every = "1h",
        top: parameters.Limit = 200,
        format: FileFormat = "csv",
        known_at: parameters.KnownAt = None,
    ) -> Response:
        """The top `top` as of each step: from `from` on (default: a day before `to`), before `to` (default: now)."""
        now = services.clock()
        first, last = parameters.parse_range(start, stop, now)
        distance = parameters.parse_span("every", every, "must be above 0")
        first = first_step(first, start, distance)
        span = Span(first, last, distance)
        if span.steps > MOST_STEPS:
            why = f"makes {span.steps} steps; a request may have {MOST_STEPS}: take a longer one, or a shorter span"
            raise BadRequest("every", every, why)
        why = f"is no format of an export; they are {', '.join(EXPORT_TYPES)}"
        chosen = parameters.parse_choice("format", format.lower(), EXPORT_TYPES, why, example="ndjson")
        known = parameters.parse_known_at(known_at, now)
        headers = {
            "cache-control": "no-store",
            "content-disposition": f'attachment; filename="topcoins-{first:%Y%m%dT%H%M%SZ}-{span.steps}.{chosen}"',
            "x-from": isoformat(first),
            "x-to": isoformat(last),
            "x-steps": str(span.steps),
        }
        options: dict[str, Any] = {"headers": headers, "media_type": EXPORT_TYPES[chosen]}
        if request.method == "HEAD" and chosen != "parquet":
            return _without_length(Response(**options))
        url = str(request.url)
        if chosen == "parquet" and (file := parquet_files.find(url, ranged="range" in request.headers)):
            return ParquetResponse(file, **options)
        with ExitStack() as running:
            running.enter_context(services.long_work.request(client_of(request.scope)))
            steps = read_steps(
                services.lists, span, limit=top, max_age=services.max_age, known_at=known, long_work=services.long_work
            )
            if chosen == "parquet":
                about = {"from": isoformat(first), "to": isoformat(last), "every": every, "top": top}
                about |= {"known_at": known and isoformat(known), "notice": services.notice, "version": app.version}
                return ParquetResponse(await parquet_files.make(url, steps, columns, about), **options)
            steps = await after_first(steps)
            if chosen == "csv":
                body = to_csv(steps, columns, services.long_work)
            else:
                body = to_ndjson(steps, top, services.long_work)
            return ExportResponse(body, steps, running.pop_all(), **options)

    shown = {"summary": "Who was in the list, step by step", "responses": _SHOWN, "response_class": StreamingResponse}
    get_and_head(app, "/v1/export", export, **shown)


def _without_length(response: Response) -> Response:
    """A response to HEAD whose GET has a body of unknown length."""
    del response.headers["content-length"]
    return response
