"""What the top list's documents look like, for the OpenAPI document and for readers of it."""

from query_api.http.responses import TOP_CSV, TOP_HTML, TOP_RESPONSES, TopResponse

ROOT_RESPONSES: dict[int | str, dict[str, object]] = {
    **TOP_RESPONSES,
    200: {
        "model": TopResponse,
        "content": {"text/csv": TOP_CSV, "text/html": TOP_HTML},
        "description": "The list, as JSON or CSV; a page for those who would rather have HTML",
    },
}
