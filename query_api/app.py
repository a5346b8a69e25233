"""The HTTP interface: its features, and the middleware that every request passes."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp

from lib.archive.objects import Objects
from lib.clock import Clock
from lib.columns import page_columns
from lib.schema import Series
from lib.store import Store
from lib.version import VERSION
from query_api.asof.top_list import TopListFinder
from query_api.features.asset import route as asset
from query_api.features.asset_search import route as asset_search
from query_api.features.export import route as export
from query_api.features.gaps import route as gaps
from query_api.features.history import route as history
from query_api.features.metrics import route as metrics
from query_api.features.movers import route as movers
from query_api.features.prices import route as prices
from query_api.features.sparklines import route as sparklines
from query_api.features.status import route as status
from query_api.features.stream import route as stream
from query_api.features.stream.work import SnapshotStream
from query_api.features.top import route as top
from query_api.http import documentation, problems
from query_api.http.json_line import JsonLine
from query_api.http.openapi import Api
from query_api.http.routing import known_parameters
from query_api.middleware.access import EVERYBODY, Access, Timer, with_access, with_metrics_port
from query_api.middleware.answer_cache import AnswerCache
from query_api.middleware.compression import with_compression
from query_api.middleware.request_metrics import RequestMetrics, with_counts
from query_api.middleware.security_headers import security_headers
from query_api.page import load
from query_api.page import route as page
from query_api.services import Services
from query_api.status.report import StatusReports
from query_api.store_outage import StoreOutage


def create_app(
    store: Store,
    *,
    clock: Clock,
    max_skew: timedelta,
    max_age: timedelta | None,
    spools: Path,
    extras: Sequence[Series] = (),
    snapshot_stream: SnapshotStream | None = None,
    requests: RequestMetrics | None = None,
    notice: str = "",
    archive: Objects | None = None,
    access: Access = EVERYBODY,
    metrics_port: int | None = None,
    timer: Timer = time.monotonic,
    run_id: str = "",
) -> ASGIApp:
    """The whole API over one store. `timer` counts seconds and is never set, unlike `clock`.

    A server passes its `snapshot_stream`, to end the streams before it stops, and its `requests`, to share the counts.
    `run_id` marks the processes of one `topcoins up`.
    """
    lists = TopListFinder(store, max_skew=max_skew, extras=extras)
    services = Services(store, clock, lists, max_age, spools, extras, notice, archive)
    reports = StatusReports(services)
    requests = requests or RequestMetrics()
    files = load(page_columns(extras))

    app = new_app()
    problems.install(app, StoreOutage(store).failed)
    top.install(app, services)
    page.install(app, files)
    asset.install(app, services)
    asset_search.install(app, services)
    history.install(app, services)
    movers.install(app, services)
    prices.install(app, services)
    gaps.install(app, services)
    status.install(app, services, reports, run_id)
    metrics.install(app, services, reports, requests)
    sparklines.install(app, services)
    export.install(app, services)
    stream.install(app, services, snapshot_stream or SnapshotStream(store, services.series, clock))

    # From the inside out: a request passes the last one first, and the limits of `server.py` before all.
    asgi = security_headers(with_compression(page.with_view_addresses(app)), private=bool(access.keys), notice=notice)
    asgi = AnswerCache(asgi, timer=timer)
    guarded = with_access(asgi, access, timer=timer)
    if metrics_port:
        guarded = with_metrics_port(guarded, asgi, metrics_port)
    return with_counts(guarded, requests)


def new_app() -> FastAPI:
    """An app with nothing but its documentation."""
    app = Api(
        title="topcoins",
        version=VERSION,
        description="The top coins by 24h volume, with USD prices, as of any minute of the archive.",
        dependencies=[Depends(known_parameters)],
        default_response_class=JsonLine,
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    documentation.install(app)
    return app
