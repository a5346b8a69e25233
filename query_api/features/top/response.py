"""What the top list's documents look like, for the OpenAPI document and for readers of it."""

from query_api.http.responses import _CSV, _HTML, TOP_RESPONSES, TopAnswer

ROOT_RESPONSES: dict[int | str, dict[str, object]] = {
    **TOP_RESPONSES,
    200: {
        "model": TopAnswer,
        "content": {"text/csv": _CSV, "text/html": _HTML},
        "description": "The list, as JSON or CSV; a page for those who would rather have HTML",
    },
}
