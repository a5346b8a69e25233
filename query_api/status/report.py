"""The status of each series: its newest tick, its spool and credits, and the last hour's expected and stored ticks."""

import asyncio
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ValidationError

from lib.clock import HOUR
from lib.errors import TopcoinsError
from lib.gaps import LOOK_BACK, find_gaps
from lib.ingest.credit_plan import FILE as PLAN_FILE
from lib.ingest.doubtful import count_doubtful
from lib.ingest.last_reading import LastReading, read_last_reading
from lib.ingest.missed import Cause
from lib.ingest.source_choice import read_used_source
from lib.ingest.spool_folder import counted
from lib.schema import OWN
from lib.snapshot import next_tick
from lib.version import VERSION
from query_api.asof.find_pair import PairFound
from query_api.asof.marker_windows import MarkerWindows
from query_api.asof.tick_pairs import LEAST_AGE, age_by_interval
from query_api.services import Services
from query_api.status.archive import ArchiveReports, ArchiveStatus
from query_api.status.disagreement import Disagreements, RankDisagreement
from query_api.status.first_ticks import FirstTicks
from query_api.status.providers import ProviderStatus, read_providers

INTERVALS = 3
"""Ticks are counted over so many intervals at least: an ingestor that stopped shows before they are over."""


class SpoolStatus(BaseModel):
    """Where the snapshots are that passed the gate: fetched = stored + spooled + dropped."""

    fetched: int
    stored: int
    spooled: int
    dropped: int
    spooled_bytes: int


class CreditStatus(BaseModel):
    """The credits left of the source's key at `told_at`, and how long they last; null: until the reset or longer.

    `counted`: the source does not report what is left; it is a budget without what topcoins spent.
    """

    source: str
    left: float
    limit: float | None
    resets_at: datetime
    told_at: datetime
    per_day: float
    lasts_until: datetime | None
    interval_s: float
    counted: bool = False


class SourceStatus(BaseModel):
    """The source in use since `since`. It is a fallback where a preferred one fails; `why` has the failures.

    `is_keyless`: its key is spent or refused, so it is asked without one. `failovers` counts the changes to a less
    preferred source.
    """

    source: str
    is_keyless: bool
    is_fallback: bool
    since: datetime
    failovers: int
    why: list[str]


class SeriesStatus(BaseModel):
    """One series. `tick` is null before the first snapshot. A tick is expected one interval after its slot.

    `missing_last_hour` counts the expected ticks without a snapshot by cause, as /v1/gaps does.
    `doubtful_lists` counts the lists that are kept apart; `reading` is the last list that a source sent.
    `spool`, `plan`, `doubtful_lists`, `reading` and `source_in_use` are null if query_api can't read the ingestor's
    spool folder.
    """

    tick: datetime | None
    first: datetime | None
    age_s: float | None
    source: str | None
    assets: int
    rejected: int
    duplicates: int
    credits: float
    credits_last_hour: float
    interval_s: float | None
    unchanged: bool
    next_tick: datetime | None
    expected_last_hour: int
    stored_last_hour: int
    missing_last_hour: dict[Cause, int]
    spool: SpoolStatus | None
    plan: CreditStatus | None
    doubtful_lists: int | None = None
    reading: LastReading | None = None
    source_in_use: SourceStatus | None = None


class Status(BaseModel):
    """The status of every series, and the operator's `notice`. An answer for now is at most `max_age_s` old.

    `rank_disagreement` is null if one source gives both series, or if there is no recent pair of snapshots.
    `archive` is null without an archive. `providers` are those whose ids are found by a table.
    """

    now: datetime
    version: str
    notice: str | None
    max_age_s: float | None = None
    series: dict[str, SeriesStatus]
    rank_disagreement: RankDisagreement | None = None
    archive: ArchiveStatus | None = None
    providers: list[ProviderStatus] = []


async def _read_series(
    services: Services, name: str, now: datetime, firsts: FirstTicks, recent: MarkerWindows
) -> SeriesStatus:
    store, folder = services.store, services.spools / name
    markers, first, spool, plan = await asyncio.gather(
        recent.markers(now - HOUR, now, series=name),
        firsts.of(name, now),
        asyncio.to_thread(_read_spool, folder),
        asyncio.to_thread(_read_plan, folder),
    )
    newest = markers[-1] if markers else await store.nearest(name, now)
    in_time = [marker for marker in markers if not marker.backfilled]
    live = in_time[-1] if in_time else await store.newest_tick(name, now)
    start = now - max(HOUR, INTERVALS * live.interval if live else HOUR)
    hour = await find_gaps(store, name, start, now, now=now, folder=folder, ticks=recent)
    return SeriesStatus(
        tick=newest.tick if newest else None,
        first=first,
        age_s=(now - newest.tick).total_seconds() if newest else None,
        source=newest.source if newest else None,
        assets=newest.assets if newest else 0,
        rejected=newest.rejected if newest else 0,
        duplicates=newest.duplicates if newest else 0,
        credits=newest.credits if newest else 0.0,
        credits_last_hour=sum(marker.credits for marker in markers),
        interval_s=newest.interval.total_seconds() if newest else None,
        unchanged=newest.unchanged if newest else False,
        next_tick=next_tick(newest) if newest else None,
        expected_last_hour=hour.expected,
        stored_last_hour=hour.stored,
        missing_last_hour=dict(hour.causes),
        spool=spool,
        plan=plan,
        doubtful_lists=count_doubtful(folder) if spool else None,
        reading=await asyncio.to_thread(read_last_reading, folder),
        source_in_use=await asyncio.to_thread(_read_source, folder),
    )


def _read_spool(folder: Path) -> SpoolStatus | None:
    # Listing a folder without the right to it finds no files: the counts would be wrong, not missing.
    if not os.access(folder, os.R_OK | os.X_OK):
        return None
    try:
        counts = counted(folder)
    except OSError:
        return None
    return SpoolStatus.model_validate(counts, from_attributes=True)


def _read_source(folder: Path) -> SourceStatus | None:
    used = read_used_source(folder)
    return SourceStatus.model_validate(used, from_attributes=True) if used else None


def _read_plan(folder: Path) -> CreditStatus | None:
    try:
        return CreditStatus.model_validate_json((folder / PLAN_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _age_by_status(series: Mapping[str, SeriesStatus]) -> timedelta:
    """How old an answer for now may be where there is none: by the intervals of the newest ticks."""
    return max(LEAST_AGE, 2 * timedelta(seconds=max(series[name].interval_s or 0.0 for name in OWN)))


class StatusReports:
    """Reads the status of all series. Requests of the same second that overlap share the work."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._firsts = FirstTicks(services.store)
        self._disagreements = Disagreements(services.store)
        self._archive = (
            ArchiveReports(services.store, services.archive, services.all_series) if services.archive else None
        )

    async def current(self) -> Status:
        """The status as of now."""
        now = self._services.clock()
        second = now.replace(microsecond=0)
        return await self._services.single_flight.share(("status", second), partial(self._read, now))

    async def _read(self, now: datetime) -> Status:
        services = self._services
        # All that a report needs of an hour's ticks is in this one read.
        recent = await MarkerWindows.of_each(services.store, now - HOUR - LOOK_BACK, now, services.series)
        each, providers, archive, newest = await asyncio.gather(
            asyncio.gather(*(_read_series(services, name, now, self._firsts, recent) for name in services.series)),
            asyncio.to_thread(read_providers, services.spools),
            self._read_archive(now),
            self._find_newest(now, recent),
        )
        series = dict(zip(services.series, each, strict=True))
        ticks = [newest.pair.price, newest.pair.rank] if newest else []
        age = services.max_age or (age_by_interval(ticks) if newest else _age_by_status(series))
        return Status(
            now=now.replace(microsecond=0),
            version=VERSION,
            notice=services.notice or None,
            max_age_s=age.total_seconds(),
            series=series,
            rank_disagreement=await self._read_disagreement(newest) if newest else None,
            archive=archive,
            providers=providers,
        )

    async def _read_archive(self, now: datetime) -> ArchiveStatus | None:
        return await self._archive.current(now) if self._archive else None

    async def _find_newest(self, now: datetime, recent: MarkerWindows) -> PairFound | None:
        pairs, at = self._services.lists.pair_finder, now.replace(microsecond=0)
        try:
            newest = await pairs.search(at, max_age=self._services.max_age, explain=False, markers=recent)
        except TopcoinsError:  # there is no newest list; its own address says why
            return None
        return newest if isinstance(newest, PairFound) else None

    async def _read_disagreement(self, newest: PairFound) -> RankDisagreement | None:
        try:
            return await self._disagreements.of(newest)
        except TopcoinsError:
            return None
