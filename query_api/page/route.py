"""The page for people at `/`, and its files under `/page/`."""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from query_api.http.caching import conditional_response, strong_etag
from query_api.page import Page

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
FOR_EVER: Mapping[str, str] = {"cache-control": "public, max-age=31536000, immutable"}
DOCUMENT: Mapping[str, str] = {
    "cache-control": "no-cache",
    "vary": "Accept",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def document(request: Request, page: Page) -> Response:
    """The page itself; which instant and how many assets it shows it reads from its own address."""
    headers = {**DOCUMENT, "etag": strong_etag(page.document)}
    return conditional_response(request, page.document, headers, "text/html; charset=utf-8")


def install(app: FastAPI, page: Page) -> None:
    """The page's files, at an address of this version alone: a copy may be kept for ever."""

    async def file(request: Request, version: str, name: str) -> Response:
        """One file."""
        found = page.files.get(name) if version == page.version else None
        if found is None:
            raise HTTPException(404, "the page has no such file")
        return conditional_response(
            request, found.body, {**FOR_EVER, "etag": strong_etag(found.body)}, found.media_type
        )

    app.api_route("/page/{version}/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)(file)
