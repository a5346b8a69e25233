"""Where snapshots are kept. `Store` is what both stores promise; `tests/contract` holds them to it."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

import polars as pl
import structlog

from lib.schema import Series
from lib.snapshot import Marker, Snapshot, StoredTick

log = structlog.get_logger()

Resolution = Literal["1m", "1h"]
"""Raw ticks, or the first tick of each hour, which outlives them."""


class Store(Protocol):
    """Keeps snapshots whole. Every method may raise StoreUnavailable, StoreRejected or StoreMalformed.

    - A snapshot is visible only through its marker, and its marker only after all of its rows.
    - A tick belongs to who first completes it: writing it again, in whatever words, changes nothing. What an answer
      once stood on is never rewritten.
    - The store stamps a snapshot with `stored_at` as it takes it; one that has it, from a backup, keeps it.
    - Rows come as the series' columns sorted by `cmc_id`; a missing tag or field is null, never 0.
    - After `horizon` all ticks are kept; before it only the first of each hour (`resolution="1h"`).
    """

    async def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot: its rows, then its marker. Returns only once the store has confirmed both."""

    async def markers(
        self,
        start: datetime,
        stop: datetime,
        *,
        series: str | None = None,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[Marker]:
        """The markers with start <= tick <= stop, of one series or all, oldest first; those known at `known_at`."""

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """The newest marker of a series not after `at`, however old."""

    async def first(self, series: str) -> Marker | None:
        """The oldest marker kept of a series."""

    async def rows(
        self,
        series: Series,
        tick: datetime,
        *,
        tiers: range | None = None,
        ids: Collection[int] | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> pl.DataFrame:
        """The rows of one exact tick: all, those of some tiers, or those of some ids.

        With `fields` only these are read: the others are absent from the frame, and so is a row that has none of
        them. What was stored before its series had a field is null there.
        """

    async def ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[datetime]:
        """The ticks of a series' markers with start <= tick <= stop, oldest first: cheaper than the markers."""

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[StoredTick]:
        """As `ticks`, each with its interval and whether it was backfilled."""

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """The newest tick not after `at`, however old, that was fetched at its time; else the newest of all."""

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """One asset's rows at these ticks, which are those of markers: `tick`, then the series' columns, oldest first.

        A tick without a row of the asset is absent. The fields read are those of `series`, which may be fewer.
        """

    async def rows_between(
        self,
        series: Series,
        ticks: Collection[datetime],
        *,
        tiers: range | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> dict[datetime, pl.DataFrame]:
        """What `rows` gives for each of these ticks. For ticks that follow each other: all between may be read."""

    def horizon(self) -> datetime:
        """The instant before which only hourly snapshots are kept."""

    async def ready(self) -> None:
        """Ask a real question; raises when the store can't answer it."""

    async def close(self) -> None:
        """Let go of files and connections."""


def tell_kept(held: Marker, came: Marker) -> None:
    """Log that a tick stays as it is when a snapshot came that says something else."""
    if held.hash != came.hash:
        log.warning("snapshot not kept: its tick has one", series=came.series, tick=came.tick, source=came.source)
