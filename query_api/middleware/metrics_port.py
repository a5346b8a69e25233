"""A port that serves `/metrics` alone, without a key: for scrapers that send no headers, on a network of the inside."""

from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.http.problems import problem
from query_api.middleware.security_headers import SecurityHeaders

METRICS = "/metrics"


class MetricsPort:
    """Requests that arrive on `port` reach `metrics`, and nothing but `/metrics`; all others reach `app`."""

    def __init__(self, app: ASGIApp, metrics: ASGIApp, port: int) -> None:
        self._app = app
        self._metrics = metrics
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on by the port of the socket, which no header can change."""
        if scope["server"][1] != self._port:
            await self._app(scope, receive, send)
        elif scope["path"] == METRICS:
            await self._metrics(scope, receive, send)
        else:
            nothing = problem(404, f"this port has {METRICS} and nothing else")
            await SecurityHeaders(nothing)(scope, receive, send)
