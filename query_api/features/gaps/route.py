"""`/v1/gaps`: where the archive has holes, and why."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, Query

from query_api.features.gaps.response import LONGEST, GapsAnswer, answered
from query_api.http.parameters import Instant, parse_range
from query_api.http.responses import STORE_RESPONSES
from query_api.http.routing import get_and_head
from query_api.services import Services

DAY = timedelta(days=1)


def install(app: FastAPI, services: Services) -> None:
    """The gap ledger."""

    async def missing(
        start: Annotated[Instant, Query(alias="from")] = None,
        stop: Annotated[Instant, Query(alias="to")] = None,
    ) -> GapsAnswer:
        """Expected ticks that have no snapshot between two instants, by default the last day, at most a week."""
        now = services.clock()
        first, last = parse_range(start, stop, now, default=DAY, longest=LONGEST)
        return await answered(services.store, services.series, first, last, now=now, spools=services.spools)

    get_and_head(app, "/v1/gaps", missing, summary="Where the archive has holes, and why", responses=STORE_RESPONSES)
