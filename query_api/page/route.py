"""The page for browsers at `/`, its files under `/page/`, and the addresses of its views for programs."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.http import routing
from query_api.http.caching import conditional_response
from query_api.http.content_type import prefers_html
from query_api.http.row_answer import IS_VIEW
from query_api.middleware.compression import SMALLEST, accepted_coding, compress_file
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
ICON = "icon.svg"
ROBOTS = "User-agent: *\nDisallow: /v1/\nDisallow: /*?\n"
"""A crawler would find a list for each second of the archive."""
VIEWS = {"list": "/v1/top", "movers": "/v1/movers", "gaps": "/v1/gaps", "status": "/v1/status"}
"""The views of the page, and the address of the API that answers the same parameters."""


class _ForBrowsers(Route):
    """The page's route. It matches only callers that prefer HTML; all others get to the list."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As `Route.matches`, by the `Accept` header and the `format` parameter too."""
        match, child = super().matches(scope)
        if match is not Match.NONE and not is_for_browsers(scope):
            return Match.NONE, {}
        return match, {**child, "route": self}


def is_for_browsers(scope: Scope) -> bool:
    """Whether the caller prefers HTML. What is wrong with its parameters is shown in the page, by the API's answer."""
    accept = ", ".join(Headers(scope=scope).getlist("accept"))
    return prefers_html(accept) and "format" not in QueryParams(scope["query_string"])


def install(app: FastAPI, page: Page) -> None:
    """The page and its files. A file's address contains the version, so that a copy can be cached for ever."""

    async def document(request: Request) -> Response:
        """The document. Its script reads from the address what to show."""
        return conditional_response(request, page.document, DOCUMENT, "text/html; charset=utf-8")

    async def file(request: Request, version: str, name: str) -> Response:
        """One file."""
        page_file = page.files.get(name) if version == page.version else None
        if page_file is None:
            raise HTTPException(404, "the page has no such file")
        headers, body = {**FOR_EVER}, page_file.body
        if coding := accepted_coding(request.scope):  # the smallest files, too: there are thirty of them
            headers, body = {**headers, "content-encoding": coding}, compress_file(body, coding)
        if coding or len(body) < SMALLEST:  # elsewhere the middleware adds it
            headers["vary"] = "Accept-Encoding"
        return conditional_response(request, body, headers, page_file.media_type)

    async def icon(request: Request) -> Response:
        """For browsers that show an answer without the page."""
        return conditional_response(request, page.files[ICON].body, FOR_EVER, page.files[ICON].media_type)

    async def robots(request: Request) -> Response:
        """What crawlers may ask."""
        return PlainTextResponse(ROBOTS)

    app.router.routes.insert(0, _ForBrowsers("/", document, methods=["GET"]))
    for path, endpoint in (("/page/{version}/{name:path}", file), ("/favicon.ico", icon), ("/robots.txt", robots)):
        routing.file(app, path, endpoint)


def with_view_addresses(app: ASGIApp) -> ASGIApp:
    """The app where `/?view=movers&top=10` is the page's view in a browser, and `/v1/movers?top=10` elsewhere."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") == "/" and b"view=" in scope["query_string"] and not is_for_browsers(scope):
            parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            if path := VIEWS.get(dict(parameters).get("view", "")):
                query = urlencode([(name, value) for name, value in parameters if name != "view"]).encode()
                scope.update({"path": path, "raw_path": path.encode(), "query_string": query, IS_VIEW: True})
        await app(scope, receive, send)

    return pass_on
