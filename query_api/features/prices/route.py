"""`POST /v1/prices`: the prices of assets, each as of an instant of its own."""

from fastapi import FastAPI, Request
from starlette.responses import Response

from lib.clock import isoformat
from lib.errors import TopcoinsError
from lib.price_rows import MOST_ROWS, MOST_TIMES
from query_api.features.prices.response import PricesAnswer, answer_rows, to_json, to_rows
from query_api.features.prices.rows import read_rows
from query_api.features.prices.work import find_prices
from query_api.http import parameters, responses
from query_api.http.body import read_body
from query_api.http.caching import header_list
from query_api.http.client import client_of
from query_api.http.content_type import MEDIA_TYPES, choose_format
from query_api.http.routing import post
from query_api.services import Services

_ROW = {
    "type": "object",
    "required": ["time", "asset"],
    "additionalProperties": False,
    "properties": {
        "time": {"type": ["string", "number", "null"], "description": "An instant, in any form of `datetime`"},
        "asset": {
            "type": ["string", "integer", "null"],
            "description": "A CoinMarketCap id, or a ticker that only one asset has then; a text of digits is an id",
        },
    },
}
_CSV = '^time,asset(?:\\r\\n[^\\r\\n",]*,[^\\r\\n",]*)*$'
"""The usual CSV. Cells in quotes, other ends of lines and the other order of the columns are understood too."""
_BODY = {
    "required": True,
    "description": f"At most {MOST_ROWS} rows with at most {MOST_TIMES} different times, in 1 MiB",
    "content": {
        "application/json": {
            "schema": {"type": "array", "maxItems": MOST_ROWS, "items": _ROW},
            "example": [{"time": "2026-11-17T14:37:00Z", "asset": "BTC"}],
        },
        "text/csv": {
            "schema": {"type": "string", "pattern": _CSV},
            "example": "time,asset\r\n2026-11-17T14:37:00Z,BTC\r\n",
        },
    },
}
_CONTENT = responses.row_content("time,asset,requested_at,…\r\n2026-11-17T14:37:00Z,BTC,…\r\n")
del _CONTENT["text/plain"]
PRICES_RESPONSES: responses.Responses = {
    200: {
        "model": PricesAnswer,
        "description": "A row for each row asked",
        "content": _CONTENT,
    },
    406: responses.NOT_ACCEPTABLE,
    408: responses.documented_problem("The body did not come in time"),
    413: responses.documented_problem("The body is too long"),
    415: responses.documented_problem("The body is compressed"),
    **responses.STORE_RESPONSES,
}


def install(app: FastAPI, services: Services) -> None:
    """Prices of rows."""

    async def prices(
        request: Request,
        format: parameters.RowFormatName = None,
        max_age: parameters.MaxAge = None,
        known_at: parameters.KnownAt = None,
        by: parameters.ByName = None,
    ) -> Response:
        """For each row the asset's price in the list as of its time, or the reason there is none.

        A row without an answer has an error and fails no other row. The answer has as many rows as the request.
        """
        now = services.clock()
        chosen = choose_format(format, header_list(request, "accept"), parameters.ROW_FORMATS)
        as_of = parameters.parse_as_of(max_age=max_age, known_at=known_at, now=now, default_age=services.max_age)
        named_by = parameters.parse_by(by)
        with services.long_work.request(client_of(request.scope)):
            body = await read_body(request)
            rows = await services.long_work.in_thread(lambda: read_rows(body, now))
            wanted = [row.wanted for row in rows if not isinstance(row.wanted, TopcoinsError)]
            found = await find_prices(services, wanted, max_age=as_of.max_age, known_at=as_of.known_at, by=named_by)
            known = as_of.known_at or max((each.known_since for each in found), default=now.replace(microsecond=0))

            def write() -> bytes:
                answered = answer_rows(rows, found)
                return to_json(answered, known) if chosen == "json" else to_rows(answered, known, chosen)

            content = await services.long_work.in_thread(write)
        headers = {"cache-control": "no-store", "vary": "Accept", "x-known-at": isoformat(known)}
        return Response(content, headers=headers, media_type=MEDIA_TYPES[chosen])

    summary, body_shown = "Prices of many assets and instants", {"requestBody": _BODY}
    post(app, "/v1/prices", prices, summary=summary, openapi_extra=body_shown, responses=PRICES_RESPONSES)
