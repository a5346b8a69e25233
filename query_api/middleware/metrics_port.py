"""A port that serves `/metrics` alone, without a key: for scrapers that send no headers, on a network of the inside."""

from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.http.problems import problem
from query_api.middleware.security_headers import security_headers

METRICS = "/metrics"


def with_metrics_port(app: ASGIApp, metrics: ASGIApp, port: int) -> ASGIApp:
    """Requests that arrive on `port` reach `metrics`, and nothing but `/metrics`; all others reach `app`."""
    nothing = security_headers(problem(404, f"this port has {METRICS} and nothing else"))

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        inside = metrics if scope["path"] == METRICS else nothing
        is_inside = scope["server"][1] == port  # of the socket, which no header can change
        await (inside if is_inside else app)(scope, receive, send)

    return pass_on
