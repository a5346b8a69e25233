"""Requests counted for Prometheus, by route and status."""

import time
import uuid
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import orjson
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.middleware.security_headers import STATUS

HUNG_UP = 499
"""The status counted when the caller hung up before it was answered."""
OTHER = "other"
"""The route counted for addresses that have none, so that labels stay few."""
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SUM = len(_BOUNDS) + 1

Counts = dict[tuple[str, int], list[float]]
"""By route and status: the requests of each bucket of durations, then the sum of the durations."""


class RequestMetrics(Collector):
    """Counts requests in plain numbers: a counter of prometheus_client costs as much as half an answer.

    Several workers write their counts into one `folder`, and each reports the sum of all.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._counts: Counts = {}
        self._file = folder / f"{uuid.uuid4().hex}.json" if folder else None

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        counts = self._counts.get((route, status)) or self._counts.setdefault((route, status), [0.0] * (_SUM + 1))
        counts[bisect_left(_BOUNDS, seconds)] += 1
        counts[_SUM] += seconds

    def exposition(self) -> bytes:
        """The Prometheus text, over all workers. What is reported is shared first: no counter ever falls."""
        self.share()
        return generate_latest(self)

    def share(self) -> None:
        """Write the counts where the other workers find them. Those of a killed worker stay."""
        if self._file:
            part = self._file.with_suffix(".part")
            part.write_bytes(orjson.dumps([[*labels, counts] for labels, counts in self._counts.items()]))
            part.replace(self._file)

    def _all_counts(self) -> Counts:
        total = {labels: list(counts) for labels, counts in self._counts.items()}
        for file in self._file.parent.glob("*.json") if self._file else ():
            if file == self._file:
                continue
            for route, status, counts in orjson.loads(file.read_bytes()):
                known = total.setdefault((route, status), [0.0] * len(counts))
                total[route, status] = [one + other for one, other in zip(known, counts, strict=True)]
        return total

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """The counts as Prometheus has them."""
        requests = CounterMetricFamily("topcoins_http_requests", "Requests answered", labels=["route", "status"])
        by_route: dict[str, list[float]] = {}
        for (route, status), counts in sorted(self._all_counts().items()):
            requests.add_metric([route, str(status)], sum(counts[:_SUM]))
            known = by_route.setdefault(route, [0.0] * len(counts))
            by_route[route] = [one + other for one, other in zip(known, counts, strict=True)]
        yield requests
        description = "From request to the last byte"
        durations = HistogramMetricFamily("topcoins_http_duration_seconds", description, labels=["route"])
        bounds = [*map(str, map(float, _BOUNDS)), "+Inf"]
        for route, counts in by_route.items():
            buckets = list(zip(bounds, accumulate(counts[:_SUM]), strict=True))
            durations.add_metric([route], buckets, counts[_SUM])
        yield durations


def with_counts(app: ASGIApp, metrics: RequestMetrics) -> ASGIApp:
    """The app with every request counted under its route's template, by the status noted in its scope."""

    async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            await app(scope, receive, send)
        finally:
            route = scope.get("route")
            path = route.path if route else OTHER
            metrics.count(path, scope.get(STATUS, HUNG_UP), time.perf_counter() - began)

    return pass_on
