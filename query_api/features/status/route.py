"""How the service, its store and each series stand: for probes, operators and Prometheus."""

from datetime import datetime
from functools import partial

from fastapi import FastAPI
from starlette.responses import Response

from lib.errors import Busy, TopcoinsError
from query_api.features.metrics.response import MEDIA_TYPE, Metrics
from query_api.features.status.disagreement import Disagreements
from query_api.features.status.work import Status, status
from query_api.http.responses import ACCESS_RESPONSES, PARAMETER_RESPONSES, STORE_RESPONSES
from query_api.http.routing import get_and_head, plain_text
from query_api.services import Services

PROBE = {status: told for status, told in STORE_RESPONSES.items() if status not in ACCESS_RESPONSES}


def install(app: FastAPI, services: Services, counters: Metrics) -> None:
    """Probes, status and metrics."""
    disagreements = Disagreements(services.store)

    async def current_status() -> Status:
        """Newest ticks, their ages, sources, credits and spools; expected against stored ticks of the last hour."""
        now = services.clock()
        return await services.single_flight.share(("status", now.replace(microsecond=0)), partial(told, now))

    async def told(now: datetime) -> Status:
        stands = await status(services.store, services.series, now, spools=services.spools, notice=services.notice)
        try:
            newest = await services.top(now.replace(microsecond=0), limit=1, max_age=services.max_age)
            return stands.model_copy(update={"rank_disagreement": await disagreements.of(newest)})
        except TopcoinsError:  # the list's own answer says why
            return stands

    async def healthz() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    async def readyz() -> dict[str, str]:
        """The store answers a real query."""
        await services.single_flight.share("ready", services.store.ready)
        return {"status": "ready"}

    async def exposition() -> Response:
        """Metrics for Prometheus."""
        try:
            body = counters.exposition(await current_status())
        except Busy:  # not a store that is down
            raise
        except TopcoinsError:
            body = counters.exposition(None)
        return Response(body, media_type=MEDIA_TYPE)

    get_and_head(app, "/v1/status", current_status, summary="How each series stands", responses=STORE_RESPONSES)
    get_and_head(app, "/healthz", healthz, summary="Does the process run", responses=PARAMETER_RESPONSES)
    get_and_head(app, "/readyz", readyz, summary="Does the store answer", responses=PROBE)
    text = plain_text("Prometheus' text format") | ACCESS_RESPONSES
    get_and_head(app, "/metrics", exposition, summary="Metrics for Prometheus", response_class=Response, responses=text)
