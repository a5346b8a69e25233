"""`/v1/status` and the probes `/healthz` and `/readyz`."""

from fastapi import FastAPI

from query_api.http.responses import ACCESS_RESPONSES, PARAMETER_RESPONSES, STORE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.services import Services
from query_api.status.report import Status, StatusReports

PROBE_RESPONSES = {code: shown for code, shown in STORE_RESPONSES.items() if code not in ACCESS_RESPONSES}


def install(app: FastAPI, services: Services, reports: StatusReports, run_id: str = "") -> None:
    """Status and probes."""
    health = {"status": "ok"} | ({"run_id": run_id} if run_id else {})

    async def status() -> Status:
        """Newest ticks, their ages, sources, credits and spools; expected against stored ticks of the last hour."""
        return await reports.current()

    async def healthz() -> dict[str, str]:
        """The process runs."""
        return health

    async def readyz() -> dict[str, str]:
        """The store answers a real query."""
        await services.single_flight.share("ready", services.store.ready)
        return {"status": "ready"}

    get_and_head(app, "/v1/status", status, summary="The status of each series", responses=STORE_RESPONSES)
    get_and_head(app, "/healthz", healthz, summary="Whether the process runs", responses=PARAMETER_RESPONSES)
    get_and_head(app, "/readyz", readyz, summary="Whether the store answers", responses=PROBE_RESPONSES)
