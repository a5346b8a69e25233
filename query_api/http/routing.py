"""Adds routes to the app, and refuses parameters that a route does not have."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.routing import request_response as handled_by_fastapi
from starlette.responses import Response
from starlette.routing import request_response

from query_api.http.parameters import CSV_COLUMNS
from query_api.http.problems import EXAMPLES, BadRequest
from query_api.http.responses import PARAMETER_RESPONSES

CACHE_BUSTER = "_"
"""Scripts and spreadsheets add this name with a random value, to get past caches. It changes no answer."""
_DERIVED: dict[tuple[object, ...], APIRoute] = {}
"""Routes by their methods, their endpoint's code and its defaults, with which they are alive: an `id` stays theirs."""


def get_and_head(app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Any]], **shown: Any) -> None:
    """Answer GET and HEAD of a path. The first route names both in a 405; the OpenAPI document shows the second."""
    documented = _route(app, ("GET",), path, endpoint, shown)
    both = copy(documented)
    both.methods, both.include_in_schema = {"GET", "HEAD"}, False
    if documented.response_field is None:  # the endpoint makes its response itself
        both.app = request_response(_Call(documented.dependant).respond)
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


class _Call:
    """A call of an endpoint with the arguments that FastAPI would give it: parameters that were sent are validated.

    FastAPI's own way inspects the type of each declared parameter for each request, for 0.6 ms of a list.
    """

    def __init__(self, dependant: Dependant) -> None:
        assert dependant.call
        self._call = dependant.call
        self._request_name = dependant.request_param_name
        self._needed = [(each.name, _Call(each)) for each in dependant.dependencies]
        self._path = _Parameters(dependant.path_params, "path")
        self._query = _Parameters(dependant.query_params, "query")

    async def respond(self, request: Request) -> Any:
        """The result of the call."""
        arguments: dict[str, Any] = {}
        for name, needed in self._needed:
            value = await needed.respond(request)
            if name:
                arguments[name] = value
        if self._request_name:
            arguments[self._request_name] = request
        arguments |= self._path.values(request.path_params)
        return await self._call(**arguments, **self._query.values(request.query_params))


class _Parameters:
    """The parameters of one place, such as the query."""

    def __init__(self, fields: Sequence[Any], place: str) -> None:
        self._place = place
        self._fields = [(field.alias, field, field.field_info.is_required()) for field in fields]
        self._defaults = {field.name: field.get_default() for _, field, is_required in self._fields if not is_required}

    def values(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """What was sent, validated; else the defaults."""
        values = dict(self._defaults)
        for alias, field, is_required in self._fields:
            if alias in sent:
                values[field.name], errors = field.validate(sent[alias], {}, loc=(self._place, alias))
                if errors:
                    raise RequestValidationError(errors)
            elif is_required:
                raise RequestValidationError([{"type": "missing", "loc": (self._place, alias)}])
        return values


def plain_text(description: str) -> dict[int | str, dict[str, Any]]:
    """The documented responses of an address that answers in plain text."""
    shown = {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: shown, **PARAMETER_RESPONSES}


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that is unknown or given twice."""
    dependant = getattr(request.scope.get("route"), "dependant", None)
    declared = [dependant, *dependant.dependencies] if dependant else []
    known = [parameter.alias for each in declared for parameter in each.query_params]
    seen = set()
    for name, value in request.query_params.multi_items():
        if name == CACHE_BUSTER:
            continue
        if name not in known:
            takes = f"this address takes {', '.join(known)}" if known else "this address takes none"
            raise BadRequest(
                name, value, f"is no parameter here; {takes}", _suggestion(name, known) or request.url.path
            )
        if name in seen:
            raise BadRequest(name, value, "is given twice; once is enough")
        seen.add(name)


def _suggestion(name: str, known: Sequence[str]) -> str:
    """The known parameter most like an unknown one, with a valid value; empty if the address has none."""
    for like in get_close_matches(name.lower(), known, 1, cutoff=0):
        return CSV_COLUMNS if like == "columns" else f"{like}={EXAMPLES[like]}"
    return ""
