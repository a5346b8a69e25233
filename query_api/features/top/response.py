"""The documented responses of the top list at `/`, where a browser gets the page."""

from query_api.http.responses import TOP_RESPONSES, Responses

ROOT_RESPONSES: Responses = {
    **TOP_RESPONSES,
    200: {
        **TOP_RESPONSES[200],
        "content": {**TOP_RESPONSES[200]["content"], "text/html": {"schema": {"type": "string"}}},
        "description": "The list, as JSON or CSV; the page for callers that prefer HTML",
    },
}
