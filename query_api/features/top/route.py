"""`/` and `/v1/top`: the top list as of an instant."""

from functools import partial

from fastapi import FastAPI, Request
from starlette.responses import Response

from lib import columns as declared
from lib.answer_tables import top_table
from lib.clock import isoformat
from query_api.asof.top_list import ListQuery, TopList
from query_api.http import parameters
from query_api.http.caching import cache_control_of, header_list, weak_etag
from query_api.http.content_type import choose_format
from query_api.http.filter_parameters import Filtering
from query_api.http.formats import list_frame, to_json
from query_api.http.headers import list_headers
from query_api.http.problems import EXAMPLES
from query_api.http.responses import TOP_RESPONSES, Responses
from query_api.http.routing import get_and_head
from query_api.http.row_answer import RowAnswer, read_again
from query_api.middleware.answer_cache import keep_this_second
from query_api.services import Services

TEXT_CHANGE = "change_24h_pct"
"""A further column that the table for people has."""
TIMES = [column.name for column in declared.COLUMNS if column.kind is declared.Kind.TIME]

ROOT_RESPONSES: Responses = {
    **TOP_RESPONSES,
    200: {
        **TOP_RESPONSES[200],
        "content": {**TOP_RESPONSES[200]["content"], "text/html": {"schema": {"type": "string"}}},
        "description": "The list; the page for callers that prefer HTML",
    },
}


def install(app: FastAPI, services: Services) -> None:
    """The list at both of its addresses. At `/` the page's route takes the browsers."""
    own = declared.names((*declared.COLUMNS, *declared.extra_columns(services.extras)))
    further = [name for name in declared.names(declared.MORE) if name not in own]
    known = [*own, *further]
    which = parameters.columns_query(f"For all formats but JSON: which of {', '.join(known)}", known)

    order = parameters.optional_query(
        "Order by this column, with `-` from the largest down, before the limit; `rank` is by volume",
        f"^-?(?:{'|'.join(known)})$",
        64,
        EXAMPLES["sort"],
    )
    more_names = f"Further columns: {', '.join(further)}; the list has the others anyway"
    added = parameters.optional_query(more_names, parameters.some_of(known), 256, EXAMPLES["more"])

    async def top(
        request: Request,
        filters: Filtering,
        limit: parameters.Limit = 200,
        datetime: parameters.Instant = None,
        format: parameters.FormatName = None,
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        columns: parameters.OptionalText = which,
        sort: parameters.OptionalText = order,
        more: parameters.OptionalText = added,
    ) -> Response:
        """The top `limit` assets by 24h volume, or by `sort`, as of `datetime`, with USD prices."""
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"))
        as_of = parameters.parse_as_of(
            datetime, max_age=max_age, known_at=known_at, now=now, default_age=services.max_age
        )
        if again := read_again(request, services, chosen):
            return again
        at, shown_columns = parameters.parse_datetime(datetime, now), parameters.parse_columns(columns, chosen, known)
        by = parameters.parse_sort(sort, known)
        implied = [*([by.column] if by else []), *(shown_columns or ([TEXT_CHANGE] if chosen == "text" else []))]
        with_more = tuple(name for name in parameters.parse_more(more, known, *implied) if name in further)
        query = ListQuery(limit, as_of.max_age, as_of.known_at, filters, by, with_more)
        found = await services.top(at, query)
        if chosen != "parquet":  # which is read in ranges
            keep_this_second(request.scope, now)
        headers = {
            "cache-control": cache_control_of([found, *found.earlier], as_of, sent=services.clock()),
            "vary": "Accept",
        }
        if as_of.depends_on_now:
            headers["etag"] = weak_etag(_basis(found), limit, chosen, shown_columns, filters, by, with_more)
        if chosen != "json":  # JSON says the same in its body
            headers |= list_headers(found)
        answer = RowAnswer(
            count=len(found.rows),
            to_json=partial(to_json, found, limit),
            frame=partial(list_frame, found, shown_columns),
            to_table=partial(top_table, columns=shown_columns),
            times=TIMES,
            fixed={"datetime": isoformat(found.at), "known_at": isoformat(found.known_at)},
        )
        return await answer.respond(request, services, chosen, headers)

    for path, name, responses in (("/", "top", ROOT_RESPONSES), ("/v1/top", "top_v1", TOP_RESPONSES)):
        get_and_head(app, path, top, operation_id=name, summary="The top list", responses=responses)


def _basis(top: TopList) -> tuple[object, ...]:
    """What the list is made from."""
    price, rank = top.pair.price, top.pair.rank
    earlier = [answer and (answer.pair.price.tick, answer.pair.price.hash) for answer in top.earlier]
    return (price.tick, price.hash, rank.tick, rank.hash, top.known_at, top.resolution, top.extras, earlier)
