"""How the service, its store and each series stand: for probes, operators and Prometheus."""

from functools import partial

from fastapi import FastAPI
from starlette.responses import Response

from lib.errors import TopcoinsError
from query_api import metrics
from query_api.answers import GUARDED, STORE_RESPONSES
from query_api.archive import Archive
from query_api.metrics import Metrics
from query_api.routes import NO_PARAMETERS, answer, plain_text
from query_api.status import Status, status

PROBE = {status: told for status, told in STORE_RESPONSES.items() if status not in GUARDED}


def install(app: FastAPI, archive: Archive, counters: Metrics) -> None:
    """Probes, status and metrics."""

    async def current_status() -> Status:
        """Newest ticks, their ages, sources, credits and spools; expected against stored ticks of the last hour."""
        now = archive.clock().replace(microsecond=0)
        asked = partial(
            status, archive.store, archive.series, archive.clock(), spools=archive.spools, notice=archive.notice
        )
        return await archive.flights.join(("status", now), asked)

    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    async def readyz() -> dict[str, str]:
        """The store answers a real query."""
        await archive.flights.join("ready", archive.store.ready)
        return {"status": "ready"}

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        try:
            body = counters.exposition((await current_status()).series)
        except TopcoinsError:
            body = counters.exposition(None)
        return Response(body, media_type=metrics.MEDIA_TYPE)

    app.get("/v1/status", summary="How each series stands", responses=STORE_RESPONSES)(current_status)
    answer(app, "/healthz", healthz, summary="Does the process run", responses=NO_PARAMETERS)
    answer(app, "/readyz", readyz, summary="Does the store answer", responses=PROBE)
    text = plain_text("Prometheus' text format") | GUARDED
    app.get("/metrics", summary="Metrics for Prometheus", response_class=Response, responses=text)(exposition)
