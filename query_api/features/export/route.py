"""`/v1/export`: who was in the list at each step of a span, as one file."""

from datetime import datetime
from typing import Annotated, get_args

from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

from lib.archive.panel import Totals
from lib.columns import MORE, extra_columns, names
from lib.instants import Span, first_step
from query_api.asof.top_list import ListQuery
from query_api.features.export.job import ExportJob
from query_api.features.export.response import all_columns, chosen_columns
from query_api.features.export.work import MOST_STEPS
from query_api.http import parameters
from query_api.http.content_type import MEDIA_TYPES, TableFormat
from query_api.http.filter_parameters import Filtering
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.responses import STORE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.services import Services

FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
_EXAMPLES = {
    "csv": "step,rank,cmc_id,symbol,…,gap\r\n2026-11-17T14:00:00Z,1,825,USDT,…,\r\n#end,,,,…,steps=1 …\r\n",
    "ndjson": '{"step":"2026-11-17T14:00:00Z","rank":1,…,"gap":null}\n{"end":true,"steps":1,…}\n',
}
_CONTENT = {
    MEDIA_TYPES[name]: {"schema": {"type": "string"}, "example": _EXAMPLES[name]}
    if name in _EXAMPLES
    else {"schema": {"type": "string", "format": "binary"}}
    for name in FORMATS
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
        "format", "csv, ndjson or parquet, in any case", parameters.any_case(FORMATS), 16, example="ndjson"
    ),
]


def install(app: FastAPI, services: Services) -> None:
    """Add the export."""
    own = names(extra_columns(services.extras))
    known_columns = list(all_columns(services.extras))
    which = parameters.columns_query(
        f"Which of {', '.join(known_columns)}; step and gap are always there", known_columns, EXAMPLES["columns"]
    )

    async def export(
        request: Request,
        filters: Filtering,
        start: parameters.Start = None,
        stop: parameters.Stop = None,
        every: Every = "1h",
        top: parameters.Limit = 200,
        format: FileFormat = "csv",
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        columns: parameters.OptionalText = which,
    ) -> Response:
        """The top `top` as of each step: from `from` on (default: a day before `to`), before `to` (default: now)."""
        now = services.clock()
        why = f"is no format of an export; they are {', '.join(FORMATS)}"
        chosen = parameters.parse_choice("format", format.lower(), FORMATS, why, example="ndjson")
        shown = chosen_columns(parameters.parse_columns(columns, chosen, known_columns), services.extras)
        more = tuple(name for name in names(MORE) if name in shown and name not in own)
        span = _span(start, stop, every, now)
        age, known = parameters.parse_max_age(max_age, services.max_age), parameters.parse_known_at(known_at, now)
        read_at, totals = known or now, Totals(asked_known_at=known)
        query = ListQuery(top, age, read_at, filters, more=more)
        return await ExportJob(request, services, span, every, query, shown, chosen, read_at, totals).respond()

    summary = "Who was in the list, step by step"
    get_and_head(app, "/v1/export", export, summary=summary, responses=_SHOWN, response_class=StreamingResponse)


def _span(start: str | None, stop: str | None, every: str, now: datetime) -> Span:
    first, last = parameters.parse_range(start, stop, now)
    distance = parameters.parse_span("every", every, "must be above 0")
    span = Span(first_step(first, start, distance), last, distance)
    if span.steps > MOST_STEPS:
        why = f"makes {span.steps} steps; a request may have {MOST_STEPS}: take a longer one, or a shorter span"
        raise BadRequest("every", every, why)
    return span
