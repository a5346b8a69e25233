"""The HTTP addresses, a module for each feature: `install` puts its routes on the app. Thin: the work is elsewhere."""

from collections.abc import Awaitable, Callable
from copy import copy
from typing import Any, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute

from query_api.http.responses import TOP_RESPONSES

NO_PARAMETERS: dict[int | str, dict[str, Any]] = {422: TOP_RESPONSES[422]}
"""What may go wrong where there is nothing to get wrong but a parameter too many."""


def get_and_head(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Any]], **shown: Any) -> None:
    """GET and HEAD of a path. The first route names both in a 405; the second is what the document shows."""
    app.get(path, **shown)(endpoint)
    documented = app.router.routes.pop()
    both = copy(cast(APIRoute, documented))  # a second one made from the start would take as long again
    both.methods, both.include_in_schema = {"GET", "HEAD"}, False
    app.router.routes += [both, documented]


def plain_text(description: str) -> dict[int | str, dict[str, Any]]:
    """The documented responses of an address that answers in plain text."""
    shown = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: shown, **NO_PARAMETERS}
