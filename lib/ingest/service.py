"""What both ingestors share: read the settings, poll, stop at a signal. `tick.py` has what one tick does."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial

import httpx
import structlog

from lib import process, settings
from lib.clock import Clock, utc_now
from lib.errors import SettingsRejected
from lib.http_client import open_client
from lib.ingest.check import Check
from lib.ingest.delivery import Delivery, ViaSpool
from lib.ingest.missed import MissedTick, MissedTicks
from lib.ingest.poll import Poll
from lib.ingest.sources import ServiceSources, with_stand_ins
from lib.ingest.spool import Spool
from lib.ingest.tick import Ingest
from lib.schema import Series
from lib.settings import Settings
from lib.source import SourceFile
from lib.store.address import open_store

SourcePlan = Callable[[Settings], Sequence[Sequence[SourceFile]]]
"""Returns the series to fill: for each its sources, in the order they are tried."""
CheckPlan = Callable[[Settings], Sequence[SourceFile]]
"""Returns the sources that are only compared with what is stored."""
Deliveries = Callable[[Series], Delivery]
"""Returns the delivery of a series."""


def ingests(plan: SourcePlan, sources: ServiceSources, deliveries: Deliveries) -> list[Ingest]:
    """One ingest per series of the plan; SettingsRejected when two would fill the same.

    Each writes its credit plan, its missed ticks and its doubtful lists into its own part of the sources' folder.
    """
    chosen, folder = sources.chosen, sources.folder
    planned = plan(chosen)
    for name, times in Counter(files[0].series for files in planned).items():
        if times > 1:
            raise SettingsRejected(f"{times} sources fill {name}; an extra source is one of another series")
    for files in planned:
        _refuse_equal_names(files)
    return [
        Ingest(
            with_stand_ins(sources.usable(files)),
            store=sources.store,
            delivery=deliveries(files[0].values),
            clock=sources.clock,
            assets=chosen.assets,
            interval=chosen.interval,
            folder=folder / files[0].series if folder else None,
            clock_check=chosen.clock_check == "on",
        )
        for files in planned
    ]


def _refuse_equal_names(files: Sequence[SourceFile]) -> None:
    """An answer names the source of its snapshot: two of a series need two names."""
    for name, times in Counter(file.name for file in files).items():
        if times > 1:
            series = files[0].series
            raise SettingsRejected(
                f"{times} sources of {series} are named {name!r}; give each file its own name, such as {name}_2"
            )


def refuse_no_check(files: Sequence[SourceFile]) -> None:
    """SettingsRejected for a source that can't be a check: only finding ids compares a list."""
    if wrong := [file.name for file in files if file.id is None]:
        raise SettingsRejected(f"{settings.PREFIX}CHECK_SOURCE: {wrong[0]} has no [id]; for example coinpaprika")


def checks(files: Sequence[SourceFile], sources: ServiceSources) -> list[Check]:
    """The checks of `TOPCOINS_CHECK_SOURCE`: sources that are only compared with what is stored."""
    refuse_no_check(files)
    chosen = sources.chosen
    return [Check(sources.usable([file])[0], assets=chosen.assets, interval=chosen.interval) for file in files]


async def poll(
    service: str,
    plan: SourcePlan,
    chosen: Settings,
    *,
    client: httpx.AsyncClient,
    clock: Clock,
    stop: asyncio.Event,
    checked: CheckPlan = lambda chosen: (),
) -> None:
    """Fill the plan's series until `stop` is set, and compare `checked` sources; the running tick finishes."""
    store = open_store(chosen, clock)
    events = structlog.get_logger()
    async with client, AsyncExitStack() as spools:

        def via_spool(series: Series) -> Delivery:
            folder = chosen.spool_dir / series.name
            missed = MissedTicks(folder)

            def lost(tick: datetime, why: str) -> None:
                missed.record(MissedTick(tick, "store", why))

            spool = Spool(folder, limit=chosen.spool_limit, lost=lost)
            spool.open()
            spools.callback(spool.close)
            return ViaSpool(spool, store, time_limit=chosen.interval / 4)

        polling = Poll(clock)
        sources = ServiceSources(chosen, client=client, store=store, clock=clock, folder=chosen.spool_dir)
        series = ingests(plan, sources, via_spool)
        for check in checks(checked(chosen), sources):
            polling.add(check.name, check.tick, partial(getattr, check, "interval"))
        for ingest in series:
            polling.add(ingest.series.name, ingest.tick, partial(getattr, ingest, "interval"), ingest.missed)
            events.info(
                "polling", service=service, series=ingest.series.name, interval_s=ingest.interval.total_seconds()
            )
        await polling.run(stop)
    await store.close()
    events.info("stopped", service=service)


def main(
    service: str,
    plan: SourcePlan,
    checked: CheckPlan = lambda chosen: (),
    *,
    arguments: Sequence[str] | None = None,
) -> None:
    """Run a service until SIGTERM or Ctrl-C. A wrong setting ends it with one sentence, and so does an argument."""
    with process.begin(service, sys.argv[1:] if arguments is None else arguments) as chosen:
        asyncio.run(_until_signalled(service, plan, chosen, checked))


async def _until_signalled(service: str, plan: SourcePlan, chosen: Settings, checked: CheckPlan) -> None:
    client, stop = open_client(os.environ), process.stop_at_signals()
    await poll(service, plan, chosen, client=client, clock=utc_now, stop=stop, checked=checked)
