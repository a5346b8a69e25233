"""What operators watch: requests by route and status, and the age of the newest ticks."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.status import SeriesStatus

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The API's own registry; nothing of it is global."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter("topcoins_http_requests", "Requests answered", ["route", "status"], registry=registry)
        self._duration = Histogram(
            "topcoins_http_duration_seconds",
            "From request to the last byte",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._up = Gauge("topcoins_store_up", "1 when the store answers", registry=registry)
        self._tick = Gauge("topcoins_newest_tick_timestamp_seconds", "The newest tick", ["series"], registry=registry)
        self._age = Gauge("topcoins_newest_tick_age_seconds", "Age of the newest tick", ["series"], registry=registry)
        self._assets = Gauge("topcoins_snapshot_assets", "Assets in the newest snapshot", ["series"], registry=registry)
        self._rejected = Gauge(
            "topcoins_snapshot_rejected", "Rows rejected in the newest tick", ["series"], registry=registry
        )
        self._missing = Gauge(
            "topcoins_missing_ticks_last_hour", "Expected ticks not stored", ["series"], registry=registry
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request answered."""
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def exposition(self, series: Mapping[str, SeriesStatus] | None) -> bytes:
        """The Prometheus text; `series` is None when the store can't answer: then nothing old is told of them."""
        self._up.set(series is not None)
        for gauge in (self._tick, self._age, self._assets, self._rejected, self._missing):
            gauge.clear()
        for name, status in (series or {}).items():
            self._missing.labels(name).set(status.expected_last_hour - status.stored_last_hour)
            if status.tick is not None and status.age_s is not None:
                self._tick.labels(name).set(status.tick.timestamp())
                self._age.labels(name).set(status.age_s)
                self._assets.labels(name).set(status.assets)
                self._rejected.labels(name).set(status.rejected)
        return generate_latest(self._registry)


class Counted:
    """An ASGI middleware that counts every request under its route's template, so that labels stay few."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count by what was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.count(route, status, time.perf_counter() - began)
