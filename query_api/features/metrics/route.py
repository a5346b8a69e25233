"""`/metrics`: what operators watch. The status of the series as gauges, and the requests of all workers."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from lib.errors import Busy, TopcoinsError
from lib.ingest.missed import Cause
from lib.version import VERSION
from query_api.features.metrics.providers import provider_gauges
from query_api.http.responses import ACCESS_RESPONSES
from query_api.http.routing import get_and_head, plain_text
from query_api.middleware.request_metrics import RequestMetrics
from query_api.services import Services
from query_api.status.report import SeriesStatus, Status, StatusReports

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SERIES: Mapping[str, tuple[str, Callable[[SeriesStatus], float | None]]] = {
    "newest_tick_timestamp_seconds": (
        "The newest tick",
        lambda series: series.tick.timestamp() if series.tick else None,
    ),
    "newest_tick_age_seconds": ("Age of the newest tick", lambda series: series.age_s),
    "interval_seconds": ("Distance to the next expected tick", lambda series: series.interval_s),
    "snapshot_assets": ("Assets in the newest snapshot", lambda series: series.assets if series.tick else None),
    "snapshot_rejected": ("Rows rejected in the newest tick", lambda series: series.rejected if series.tick else None),
    "missing_ticks_last_hour": (
        "Expected ticks not stored",
        lambda series: series.expected_last_hour - series.stored_last_hour,
    ),
    "spooled_snapshots": (
        "Snapshots that wait for the store",
        lambda series: series.spool.spooled if series.spool else None,
    ),
    "dropped_snapshots": (
        "Snapshots never to be stored",
        lambda series: series.spool.dropped if series.spool else None,
    ),
    "doubtful_lists": ("Lists kept apart because they are not plausible", lambda series: series.doubtful_lists),
    "missing_rows": (
        "Rows asked for that the last list did not have",
        lambda series: series.reading.missing if series.reading else None,
    ),
    "newest_update_timestamp_seconds": (
        "The newest time of the last list's values: an old one shows a frozen source",
        lambda series: (
            series.reading.newest_update.timestamp() if series.reading and series.reading.newest_update else None
        ),
    ),
    "source_is_fallback": (
        "1 while a source is in use that stands in for a preferred one, or for its own key",
        lambda series: float(series.source_in_use.is_fallback) if series.source_in_use else None,
    ),
    "credits_left": ("Credits left of the source's key", lambda series: series.plan.left if series.plan else None),
    "credits_limit": (
        "Credits of the source's key until their reset, used or left",
        lambda series: series.plan.limit if series.plan else None,
    ),
    "credits_per_day": (
        "Credits that all users of the key spend a day at the planned interval",
        lambda series: series.plan.per_day if series.plan else None,
    ),
    "credits_reset_timestamp_seconds": (
        "When the credits are reset",
        lambda series: series.plan.resets_at.timestamp() if series.plan else None,
    ),
    "credits_suffice": (
        "1 when the credits last until their reset, 0 when they run out before it",
        lambda series: float(series.plan.lasts_until is None) if series.plan else None,
    ),
    "credits_last_until_timestamp_seconds": (
        "When the credits run out, if that is before their reset",
        lambda series: series.plan.lasts_until.timestamp() if series.plan and series.plan.lasts_until else None,
    ),
}
"""The gauges of each series: their help, and their value in the status."""


def install(app: FastAPI, services: Services, reports: StatusReports, requests: RequestMetrics) -> None:
    """Metrics for Prometheus."""

    async def metrics() -> Response:
        """Metrics for Prometheus."""
        try:
            status = status_exposition(await reports.current(), store_up=True)
        except Busy:  # too many requests wait; nothing is wrong with the store
            status = status_exposition(None, store_up=True)
        except TopcoinsError:
            status = status_exposition(None, store_up=False)
        own = about_exposition(services.notice, await asyncio.to_thread(_free_bytes, services.spools))
        return Response(requests.exposition() + own + status, media_type=MEDIA_TYPE)

    shown = plain_text("Prometheus' text format") | ACCESS_RESPONSES
    get_and_head(app, "/metrics", metrics, summary="Metrics for Prometheus", response_class=Response, responses=shown)


def _free_bytes(folder: Path) -> int | None:
    """The free bytes of the disk that has the spools; None if the folder can't be read."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def about_exposition(notice: str, free_bytes: int | None) -> bytes:
    """The Prometheus text about this installation: its version and notice, and its disk."""
    registry = CollectorRegistry()
    info = Gauge(
        "topcoins_info", "1; the labels have the version and the notice", ["version", "notice"], registry=registry
    )
    info.labels(VERSION, notice).set(1)
    if free_bytes is not None:
        Gauge("topcoins_disk_free_bytes", "Free bytes of the disk that has the spools", registry=registry).set(
            free_bytes
        )
    return generate_latest(registry)


def status_exposition(status: Status | None, *, store_up: bool) -> bytes:
    """The Prometheus text. Without a status there are no gauges of series, rather than old ones."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status, store_up))
    return generate_latest(registry)


class _StatusCollector(Collector):
    """Gauges made anew for each scrape, so that none outlives what it reports."""

    def __init__(self, status: Status | None, store_up: bool) -> None:
        self._status = status
        self._store_up = store_up

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("topcoins_store_up", "1 when the store answers", value=float(self._store_up))
        series = self._status.series if self._status else {}
        for name, (description, value_of) in _SERIES.items():
            gauge = GaugeMetricFamily(f"topcoins_{name}", description, labels=["series"])
            for label, status in series.items():
                if (value := value_of(status)) is not None:
                    gauge.add_metric([label], value)
            yield gauge
        yield self._failovers(series)
        yield self._gaps(series)
        yield self._disagreement()
        yield from self._archive()
        yield from provider_gauges(self._status.providers if self._status else ())

    def _failovers(self, series: Mapping[str, SeriesStatus]) -> CounterMetricFamily:
        description = "Changes to a less preferred source, or to asking without the key"
        counter = CounterMetricFamily("topcoins_source_failovers", description, labels=["series"])
        for name, status in series.items():
            if status.source_in_use:
                counter.add_metric([name], status.source_in_use.failovers)
        return counter

    def _gaps(self, series: Mapping[str, SeriesStatus]) -> GaugeMetricFamily:
        labels = ["series", "cause"]
        gauge = GaugeMetricFamily("topcoins_gap_ticks_last_hour", "Expected ticks not stored, by cause", labels=labels)
        for name, status in series.items():
            for cause in get_args(Cause):
                gauge.add_metric([name, cause], status.missing_last_hour.get(cause, 0))
        return gauge

    def _archive(self) -> Iterator[GaugeMetricFamily]:
        archive = self._status.archive if self._status else None
        is_up = archive is not None and archive.up
        for name, description, value in (
            ("up", "1 when the archive can be asked", archive.up if archive else None),
            (
                "unsealed_days",
                "Closed days that are not in the archive",
                archive.unsealed_days if archive and is_up else None,
            ),
            (
                "late",
                "1 when a closed day has waited for three hours to be sealed",
                archive.late if archive and is_up else None,
            ),
        ):
            gauge = GaugeMetricFamily(f"topcoins_archive_{name}", description)
            if value is not None:
                gauge.add_metric([], float(value))
            yield gauge

    def _disagreement(self) -> GaugeMetricFamily:
        description = (
            "Part of the first places that the price source, by its own volumes, and the rank source do not share"
        )
        gauge = GaugeMetricFamily("topcoins_rank_disagreement", description, labels=["places"])
        disagreement = self._status.rank_disagreement if self._status else None
        for places, unshared in disagreement.unshared.items() if disagreement else ():
            gauge.add_metric([places], unshared)
        return gauge
