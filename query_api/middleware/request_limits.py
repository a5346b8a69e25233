"""Requests that are refused for their form alone, and the end of work for a caller that hangs up."""

import asyncio
import re
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.http.body import MOST_BYTES, too_long
from query_api.http.problems import problem
from query_api.middleware.connection import CONNECTION
from query_api.middleware.security_headers import security_headers

URL_BYTES = 16 * 2**10
HEAD_BYTES = 32 * 2**10
HEADERS = 100
BODY_BYTES = 64 * 2**10
"""Of a body that nobody asked for: so much is read and thrown away."""
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")


def with_request_limits(app: ASGIApp) -> ASGIApp:
    """The app for requests of the right form, each of which is tied to its connection."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        answer = refusal(scope) or app
        connection = CONNECTION.get()
        if connection is None:
            await answer(scope, receive, send)
            return
        if connection.lost:
            return
        connection.begin(asyncio.current_task())
        try:
            await answer(scope, receive, send)
        except asyncio.CancelledError:
            if not connection.lost:
                raise
        finally:
            connection.end()

    return pass_on


def refusal(scope: Scope) -> ASGIApp | None:
    """The answer to a request whose form is wrong."""
    hosts, length, body = 0, 0, b""
    headers = scope["headers"]
    for name, value in headers:
        length += len(name) + len(value)
        if name == b"host":
            hosts += 1 if _is_host(value) else 2
        elif name == b"content-length":
            body = value
    if hosts != 1 and (hosts or scope["http_version"] == "1.1"):
        return _refused(400, "Host: must be there once, with a host name or an address")
    if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > URL_BYTES:
        return _refused(414, f"the address is longer than {URL_BYTES} bytes")
    if length > HEAD_BYTES or len(headers) > HEADERS:
        return _refused(431, f"the head has more than {HEAD_BYTES} bytes, or more than {HEADERS} headers")
    if body and not (body.isdigit() and int(body[:20]) <= MOST_BYTES.get(scope["path"], BODY_BYTES)):
        return _refused(413, too_long(scope["path"]) if scope["path"] in MOST_BYTES else "nothing here takes a body")
    return None


@lru_cache(256)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def _refused(status: int, why: str) -> ASGIApp:
    return security_headers(problem(status, why, headers={"connection": "close"}))
