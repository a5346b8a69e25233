"""The HTTP interface, put together: what each address promises is in `routes`."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from fastapi import Depends
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from lib.clock import Clock
from lib.schema import Series
from lib.store import Store
from query_api import problems
from query_api.archive import Archive
from query_api.feed import Feed
from query_api.metrics import Counted, Metrics
from query_api.question import known_parameters
from query_api.routes import gaps, health, stream, top
from query_api.top import TopLists
from query_api.warm import Warm


def create_app(
    store: Store,
    *,
    clock: Clock,
    max_skew: timedelta,
    max_age: timedelta,
    spools: Path,
    extras: Sequence[Series] = (),
    feed: Feed | None = None,
) -> ASGIApp:
    """The whole API over one store. Holds no other state than its metrics, the answers of this second and listeners.

    Whoever has to let the listeners go hands in their `feed`.
    """
    lists = TopLists(store, max_skew=max_skew, extras=extras)
    archive = Archive(store, clock, lists, max_age, spools, extras)
    counters = Metrics()
    app = FastAPIOffline(
        title="topcoins",
        version="1",
        description="The top coins by 24h volume, with USD prices, as of any minute of the archive.",
        dependencies=[Depends(known_parameters)],
        redirect_slashes=False,
    )
    problems.install(app)
    top.install(app, archive)
    gaps.install(app, archive)
    health.install(app, archive, counters)
    stream.install(app, archive, feed or Feed(store, archive.series, clock))
    return Counted(Warm(app, clock=clock), metrics=counters)
