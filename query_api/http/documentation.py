"""`/openapi.json`, `/docs`, `/redoc` and all they load. Their addresses are relative, for proxies with a prefix."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from query_api.http import routing
from query_api.http.caching import conditional_response
from query_api.http.json_line import json_line

FOLDER = "static-offline-docs"
LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
"""ReDoc's script loads its maker's logo from another host."""


def install(app: FastAPI) -> None:
    """Add the pages and their files."""
    scripts = Path(str(files("fastapi_offline") / "static"))

    async def document(request: Request) -> Response:
        """The API's description, for programs."""
        return conditional_response(
            request, json_line(app.openapi()), {"cache-control": "no-cache"}, "application/json"
        )

    async def swagger(request: Request) -> HTMLResponse:
        """The API's description, to try it."""
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=app.title,
            swagger_js_url=f"{FOLDER}/swagger-ui-bundle.js",
            swagger_css_url=f"{FOLDER}/swagger-ui.css",
            swagger_favicon_url="favicon.ico",
        )

    async def redoc(request: Request) -> HTMLResponse:
        """The API's description, to read it."""
        return get_redoc_html(
            openapi_url="openapi.json",
            title=app.title,
            redoc_js_url=f"{FOLDER}/redoc.standalone.js",
            redoc_favicon_url="favicon.ico",
            with_google_fonts=False,
        )

    async def redoc_script(request: Request) -> Response:
        """ReDoc without the logo."""
        script = (scripts / "redoc.standalone.js").read_bytes().replace(LOGO, b"favicon.ico")
        return Response(script, media_type="text/javascript")

    for path, endpoint in (
        ("/openapi.json", document),
        ("/docs", swagger),
        ("/redoc", redoc),
        (f"/{FOLDER}/redoc.standalone.js", redoc_script),
    ):
        routing.file(app, path, endpoint)
    app.mount(f"/{FOLDER}", StaticFiles(directory=scripts))
