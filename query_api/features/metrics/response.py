"""What operators watch: requests by route and status, and the age of the newest ticks."""

import time
from collections.abc import Callable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.ingest.missed import Cause
from query_api.features.status.work import SeriesStatus, Status

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GONE = 499
"""Counted where the caller hung up before it was answered."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


_SERIES: Mapping[str, tuple[str, Callable[[SeriesStatus], float | None]]] = {
    "newest_tick_timestamp_seconds": ("The newest tick", lambda one: one.tick.timestamp() if one.tick else None),
    "newest_tick_age_seconds": ("Age of the newest tick", lambda one: one.age_s),
    "snapshot_assets": ("Assets in the newest snapshot", lambda one: one.assets if one.tick else None),
    "snapshot_rejected": ("Rows rejected in the newest tick", lambda one: one.rejected if one.tick else None),
    "missing_ticks_last_hour": (
        "Expected ticks not stored",
        lambda one: one.expected_last_hour - one.stored_last_hour,
    ),
    "spooled_snapshots": ("Snapshots that wait for the store", lambda one: one.spool.spooled if one.spool else None),
    "dropped_snapshots": ("Snapshots never to be stored", lambda one: one.spool.dropped if one.spool else None),
    "credits_left": ("Credits left of the source's key", lambda one: one.plan.left if one.plan else None),
    "credits_last_until_timestamp_seconds": (
        "When the credits run dry, where that is before their reset",
        lambda one: one.plan.lasts_until.timestamp() if one.plan and one.plan.lasts_until else None,
    ),
}
"""The gauges of each series: what they are, and where the status has it."""


class Metrics:
    """The API's own registry; nothing of it is global."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("topcoins_http_requests", "Requests answered", ["route", "status"], registry=registry)
        self._duration = Histogram(
            "topcoins_http_duration_seconds",
            "From request to the last byte",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._up = Gauge("topcoins_store_up", "1 when the store answers", registry=registry)
        self._gaps = Gauge(
            "topcoins_gap_ticks_last_hour",
            "Expected ticks not stored, by cause",
            ["series", "cause"],
            registry=registry,
        )
        self._disagreement = Gauge(
            "topcoins_rank_disagreement",
            "Part of the first places that the price source, by its own volumes, and the rank source do not share",
            ["places"],
            registry=registry,
        )
        self._series = {
            name: Gauge(f"topcoins_{name}", told, ["series"], registry=registry) for name, (told, _) in _SERIES.items()
        }

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request answered."""
        self._requests.labels(route, str(status)).inc()
        self._duration.labels(route).observe(seconds)

    def exposition(self, status: Status | None) -> bytes:
        """The Prometheus text; `status` is None when the store can't answer: then nothing old is told."""
        self._up.set(status is not None)
        series = status.series if status else {}
        for name, gauge in self._series.items():
            gauge.clear()
            for one, stands in series.items():
                value = _SERIES[name][1](stands)
                if value is not None:
                    gauge.labels(one).set(value)
        self._gaps.clear()
        for one, stands in series.items():
            for cause in get_args(Cause):
                self._gaps.labels(one, cause).set(stands.missing_last_hour.get(cause, 0))
        self._disagreement.clear()
        if status and status.rank_disagreement:
            for places, unshared in status.rank_disagreement.unshared.items():
                self._disagreement.labels(places).set(unshared)
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
        status = GONE
        began = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            status = 500
            raise
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.count(route, status, time.perf_counter() - began)
