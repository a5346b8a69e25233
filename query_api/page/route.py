"""The page for browsers at `/`, and its files under `/page/`."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from query_api.http.caching import conditional_response
from query_api.page import Page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FOR_EVER: Mapping[str, str] = {"cache-control": "public, max-age=31536000, immutable"}
DOCUMENT: Mapping[str, str] = {
    "cache-control": "no-cache",
    "vary": "Accept",
    "content-security-policy": POLICY,
}


def document(request: Request, page: Page) -> Response:
    """The page's document. Its script reads from the address which instant and how many assets to show."""
    return conditional_response(request, page.document, DOCUMENT, "text/html; charset=utf-8")


def install(app: FastAPI, page: Page) -> None:
    """The page's files. Their address contains the version, so that a copy can be cached for ever."""

    async def file(request: Request, version: str, name: str) -> Response:
        """One file."""
        page_file = page.files.get(name) if version == page.version else None
        if page_file is None:
            raise HTTPException(404, "the page has no such file")
        return conditional_response(request, page_file.body, FOR_EVER, page_file.media_type)

    app.api_route("/page/{version}/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)(file)
