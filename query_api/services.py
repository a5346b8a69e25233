"""What the routes share: the store, the clock, the rules of the lists, and the bounds on work."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from lib.archive.objects import Objects
from lib.clock import Clock
from lib.schema import OWN, Series
from lib.store import Store
from query_api.asof.top_list import ListQuery, TopList, TopListFinder
from query_api.http.parquet_files import ParquetFiles
from query_api.long_work import LongWork
from query_api.middleware.single_flight import SingleFlight


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of every route. `spools` is the ingestors' folder; it may be absent, as may `archive`."""

    store: Store
    clock: Clock
    lists: TopListFinder
    max_age: timedelta | None
    spools: Path
    extras: Sequence[Series] = ()
    notice: str = ""
    archive: Objects | None = None
    single_flight: SingleFlight = field(default_factory=SingleFlight)
    long_work: LongWork = field(default_factory=LongWork)
    parquet_files: ParquetFiles = field(default_factory=ParquetFiles)

    @property
    def all_series(self) -> list[Series]:
        """The series that an answer may use."""
        return [*OWN.values(), *self.extras]

    @property
    def series(self) -> list[str]:
        """The names of all series that an answer may use."""
        return [*OWN, *(extra.name for extra in self.extras)]

    async def top(self, at: datetime, query: ListQuery) -> TopList:
        """Find a top list. Equal requests of the same instant share the work."""
        return await self.single_flight.share(("top", at, query), partial(self.lists.find, at, query))
