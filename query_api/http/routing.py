"""Adds routes to the app."""

from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from query_api.http.responses import PARAMETER_RESPONSES


def get_and_head(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Any]], **shown: Any) -> None:
    """Answer GET and HEAD of a path. The first route names both in a 405; the OpenAPI document shows the second."""
    app.get(path, **shown)(endpoint)
    documented = app.router.routes.pop()
    both = copy(cast(APIRoute, documented))  # building a second one would double the time to start
    both.methods, both.include_in_schema = {"GET", "HEAD"}, False
    app.router.routes += [both, documented]


def plain_text(description: str) -> dict[int | str, dict[str, Any]]:
    """The documented responses of an address that answers in plain text."""
    shown = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: shown, **PARAMETER_RESPONSES}
