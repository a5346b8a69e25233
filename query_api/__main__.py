"""`python -m query_api`: settings in, server out. A worker gets arguments from its parent."""

import asyncio
import gc
import math
import os
import sys
from collections import Counter
from collections.abc import Sequence

import uvloop

from lib import columns, process
from lib.archive.objects.address import open_objects
from lib.archive.tiers import Tiers, open_tiers
from lib.clock import utc_now
from lib.errors import SettingsRejected
from lib.schema import OWN, Series
from lib.settings import RUN_ID, Settings
from lib.source import extra_series
from query_api.app import create_app
from query_api.features.stream.work import MAX_LISTENERS, PER_CLIENT, SnapshotStream
from query_api.middleware.access import Access
from query_api.middleware.request_metrics import RequestMetrics
from query_api.server import listen, serve
from query_api.workers import WORKER, inherited, run_workers


def read_extras(chosen: Settings) -> list[Series]:
    """The series of the extra sources, in the order of the setting."""
    extras = extra_series(chosen)
    fields = Counter([*columns.names(), *(name for series in extras for name in series.fields)])
    names = Counter([*OWN, *(series.name for series in extras)])
    for name, times in (fields + names).items():
        if fields[name] > 1 or names[name] > 1:
            raise SettingsRejected(f"extra_sources: {name} is the name of {times} things; give each its own")
    return extras


async def run(chosen: Settings, arguments: Sequence[str]) -> None:
    """Answer in this process, or start and watch the workers that do. A worker has arguments."""
    extras = read_extras(chosen)
    process.reopen_log_at_hangup(asyncio.get_running_loop())
    if not arguments and chosen.http_workers > 1:
        await run_workers(chosen.http_workers, listen(chosen))
        return
    counts, sockets = inherited(arguments) if arguments else (None, [])
    archive = open_objects(chosen)
    store = open_tiers(chosen, archive, utc_now)
    if isinstance(store, Tiers):
        await store.refresh()  # so that the first question knows which days are sealed
    requests = RequestMetrics(counts)
    snapshot_stream = SnapshotStream(
        store,
        [*OWN, *(series.name for series in extras)],
        utc_now,
        most=math.ceil(MAX_LISTENERS / chosen.http_workers),
        per_client=math.ceil(PER_CLIENT / chosen.http_workers),
    )
    app = create_app(
        store,
        clock=utc_now,
        max_skew=chosen.max_skew,
        max_age=chosen.max_age,
        spools=chosen.spool_dir,
        extras=extras,
        snapshot_stream=snapshot_stream,
        requests=requests,
        notice=chosen.notice,
        archive=archive,
        access=Access.of(chosen, chosen.http_workers),
        metrics_port=chosen.metrics_port,
        run_id=os.environ.get(RUN_ID, ""),
    )
    sockets = sockets or listen(chosen)
    gc.freeze()  # what was loaded is no garbage; to scan it again takes a tenth of a second of a long answer
    await serve(app, chosen, sockets, snapshot_stream, requests)
    await store.close()


def main() -> None:
    """The service's whole life. A wrong setting is one sentence."""
    _, *arguments = sys.argv
    own = arguments[1:] if arguments[:1] == [WORKER] else []
    with (
        process.begin("query_api", [] if own else arguments) as chosen,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(chosen, own))


if __name__ == "__main__":
    main()
