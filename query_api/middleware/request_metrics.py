"""Requests counted for Prometheus, by route and status."""

import os
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HUNG_UP = 499
"""The status counted when the caller hung up before it was answered."""
OTHER = "other"
"""The route counted for addresses that have none, so that labels stay few."""
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus_client keeps the counts of several processes in one folder."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class RequestMetrics:
    """Counts requests in a registry of its own, over all workers where there are several."""

    def __init__(self) -> None:
        self._folder = os.environ.get(SHARED_FOLDER)
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("topcoins_http_requests", "Requests answered", ["route", "status"], registry=registry)
        self._duration = Histogram(
            "topcoins_http_duration_seconds",
            "From request to the last byte",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bound: dict[tuple[str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        bound = self._bound.get((route, status)) or self._bind(route, status)
        bound[0]()
        bound[1](seconds)

    def exposition(self) -> bytes:
        """The Prometheus text."""
        if not self._folder:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _bind(self, route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        """The two children of a route and status. To look them up costs more than to count."""
        children = self._requests.labels(route, str(status)).inc, self._duration.labels(route).observe
        self._bound[route, status] = children
        return children


class CountRequests:
    """An ASGI middleware that counts every request under its route's template."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count by what was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = HUNG_UP
        began = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        except Exception:
            status = 500
            raise
        finally:
            route = scope.get("route")
            self._metrics.count(route.path if route else OTHER, status, time.perf_counter() - began)
