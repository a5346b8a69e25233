"""Adds routes to the app."""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.routing import request_response as handled_by_fastapi
from starlette.responses import Response
from starlette.routing import request_response

from query_api.http.responses import PARAMETER_RESPONSES

_DERIVED: dict[tuple[object, ...], APIRoute] = {}
"""Routes by their methods, their endpoint's code and its defaults, with which they are alive: an `id` stays theirs."""


def get_and_head(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Any]], **shown: Any) -> None:
    """Answer GET and HEAD of a path. The first route names both in a 405; the OpenAPI document shows the second."""
    documented = _route(app, ("GET",), path, endpoint, shown)
    both = copy(documented)
    both.methods, both.include_in_schema = {"GET", "HEAD"}, False
    if documented.response_field is None:  # the endpoint makes its response itself
        both.app = request_response(partial(_respond, documented.dependant))
    app.router.routes += [both, documented]


def post(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]], **shown: Any) -> None:
    """Answer POST of a path."""
    app.router.routes.append(_route(app, ("POST",), path, endpoint, shown))


def file(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]]) -> None:
    """Answer GET and HEAD of a path with a file. The OpenAPI document does not show it."""
    app.router.routes.append(_route(app, ("GET", "HEAD"), path, endpoint, {"include_in_schema": False}))


def _route(app: FastAPI, methods: tuple[str, ...], path: str, endpoint: Any, shown: Mapping[str, Any]) -> APIRoute:
    """The route of an endpoint. What FastAPI derives from a signature takes it 5 ms: all apps share that."""
    key = methods, path, endpoint.__code__, *map(id, endpoint.__defaults__ or ())
    if key not in _DERIVED:
        app.api_route(path, methods=[*methods], **shown)(endpoint)
        _DERIVED[key] = cast(APIRoute, app.router.routes.pop())
    route = copy(_DERIVED[key])
    route.endpoint, route.dependant = endpoint, replace(route.dependant, call=endpoint)
    route.app = handled_by_fastapi(route.get_route_handler())
    return route


async def _respond(dependant: Dependant, request: Request) -> Response:
    """Call an endpoint with the arguments that FastAPI would give it: parameters that were sent are validated.

    FastAPI's own way inspects the type of each declared parameter for each request, for 0.6 ms of a list.
    """
    assert dependant.call
    response: Response = await dependant.call(**await _arguments(dependant, request))
    return response


async def _arguments(dependant: Dependant, request: Request) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for needed in dependant.dependencies:
        assert needed.call
        value = await needed.call(**await _arguments(needed, request))
        if needed.name:
            arguments[needed.name] = value
    if dependant.request_param_name:
        arguments[dependant.request_param_name] = request
    arguments |= _validated(dependant.path_params, request.path_params, "path")
    return arguments | _validated(dependant.query_params, request.query_params, "query")


def _validated(fields: Any, sent: Mapping[str, Any], where: str) -> dict[str, Any]:
    values = {}
    for field in fields:
        if field.alias in sent:
            values[field.name], errors = field.validate(sent[field.alias], {}, loc=(where, field.alias))
            if errors:
                raise RequestValidationError(errors)
        elif field.field_info.is_required():
            raise RequestValidationError([{"type": "missing", "loc": (where, field.alias)}])
        else:
            values[field.name] = field.get_default()
    return values


def plain_text(description: str) -> dict[int | str, dict[str, Any]]:
    """The documented responses of an address that answers in plain text."""
    shown = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: shown, **PARAMETER_RESPONSES}
