"""The current status, read at most once a second however many ask."""

from datetime import datetime
from functools import partial

from lib.errors import TopcoinsError
from query_api.services import Services
from query_api.status.disagreement import Disagreements
from query_api.status.report import Status, read_status


class StatusReports:
    """Reads the status of all series. Requests of the same second that overlap share the work."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._disagreements = Disagreements(services.store)

    async def current(self) -> Status:
        """The status as of now."""
        now = self._services.clock()
        second = now.replace(microsecond=0)
        return await self._services.single_flight.share(("status", second), partial(self._read, now))

    async def _read(self, now: datetime) -> Status:
        services = self._services
        report = await read_status(services.store, services.series, now, spools=services.spools, notice=services.notice)
        try:
            newest = await services.top(now.replace(microsecond=0), limit=1, max_age=services.max_age)
            disagreement = await self._disagreements.of(newest)
        except TopcoinsError:  # there is no newest list; its own address says why
            return report
        return report.model_copy(update={"rank_disagreement": disagreement})
