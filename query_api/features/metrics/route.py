"""`/metrics`: what operators watch."""

from fastapi import FastAPI
from starlette.responses import Response

from lib.errors import Busy, TopcoinsError
from query_api.features.metrics.response import status_exposition
from query_api.http.responses import ACCESS_RESPONSES
from query_api.http.routing import get_and_head, plain_text
from query_api.middleware.request_metrics import RequestMetrics
from query_api.status.report import StatusReports

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def install(app: FastAPI, reports: StatusReports, requests: RequestMetrics) -> None:
    """Metrics for Prometheus."""

    async def metrics() -> Response:
        """Metrics for Prometheus."""
        try:
            status = status_exposition(await reports.current(), store_up=True)
        except Busy:  # too many requests wait; nothing is wrong with the store
            status = status_exposition(None, store_up=True)
        except TopcoinsError:
            status = status_exposition(None, store_up=False)
        return Response(requests.exposition() + status, media_type=MEDIA_TYPE)

    shown = plain_text("Prometheus' text format") | ACCESS_RESPONSES
    get_and_head(app, "/metrics", metrics, summary="Metrics for Prometheus", response_class=Response, responses=shown)
