"""The HTTP interface, put together: what each address promises is in `routes`."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from fastapi import Depends
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from lib.clock import Clock
from lib.columns import COLUMNS, extra_columns
from lib.schema import Series
from lib.store import Store
from lib.version import VERSION
from query_api.asof.top_list import TopListFinder
from query_api.features.asset import route as asset
from query_api.features.export import route as export
from query_api.features.gaps import route as gaps
from query_api.features.history import route as history
from query_api.features.metrics.response import Counted, Metrics
from query_api.features.movers import route as movers
from query_api.features.sparklines import route as sparklines
from query_api.features.status import route as status
from query_api.features.stream import route as stream
from query_api.features.stream.work import SnapshotStream
from query_api.features.top import route as top
from query_api.http import problems
from query_api.http.parameters import known_parameters
from query_api.middleware.access import EVERYBODY, Access, SecurityHeaders, with_access
from query_api.middleware.answer_cache import AnswerCache
from query_api.middleware.connection_limits import HangUp
from query_api.middleware.rates import Timer
from query_api.page import load
from query_api.page import route as page
from query_api.services import Services


def create_app(
    store: Store,
    *,
    clock: Clock,
    max_skew: timedelta,
    max_age: timedelta,
    spools: Path,
    extras: Sequence[Series] = (),
    snapshot_stream: SnapshotStream | None = None,
    notice: str = "",
    access: Access = EVERYBODY,
    timer: Timer = time.monotonic,
) -> ASGIApp:
    """The whole API over one store. Holds no other state than its metrics, the answers of this second and listeners.

    Whoever has to let the listeners go hands in their `snapshot_stream`.
    """
    lists = TopListFinder(store, max_skew=max_skew, extras=extras)
    services = Services(store, clock, lists, max_age, spools, extras, notice)
    counters = Metrics()
    shown = load((*COLUMNS, *extra_columns(extras)))
    app = FastAPIOffline(
        title="topcoins",
        version=VERSION,
        description="The top coins by 24h volume, with USD prices, as of any minute of the archive.",
        dependencies=[Depends(known_parameters)],
        redirect_slashes=False,
    )
    for documentation in app.routes:  # what is there already; FastAPI answers no HEAD by itself
        if isinstance(documentation, APIRoute):
            documentation.methods = {"GET", "HEAD"}
    problems.install(app)
    top.install(app, services, shown)
    page.install(app, shown)
    asset.install(app, services)
    history.install(app, services)
    movers.install(app, services)
    gaps.install(app, services)
    status.install(app, services, counters)
    sparklines.install(app, services)
    export.install(app, services)
    stream.install(app, services, snapshot_stream or SnapshotStream(store, services.series, clock))
    answers = AnswerCache(SecurityHeaders(app, private=bool(access.keys)), clock=clock)
    return HangUp(Counted(with_access(answers, access, timer=timer), metrics=counters))
