"""`Store`: what both stores promise. `tests/contract` checks each promise on both."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import product
from typing import Literal, NamedTuple, Protocol, TypedDict, Unpack, get_args

import polars as pl
import structlog

from lib.clock import DAY, EPOCH
from lib.schema import ID, PRICE, Series
from lib.snapshot import Marker, Snapshot, StoredTick
from lib.times import TIME

log = structlog.get_logger()

Resolution = Literal["1m", "1h"]
"""Raw ticks, or the first tick of each hour, which outlives them."""
NAME_COLUMNS = {ID: pl.Int64(), **dict.fromkeys(PRICE.tags, pl.String()), "first": TIME, "last": TIME}
"""Of the frame that `Store.asset_names` returns."""
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)


class View(TypedDict, total=False):
    """Which ticks a query returns: of a resolution, by default `1m`; only those visible at `known_at`."""

    resolution: Resolution
    known_at: datetime | None


class Steps(NamedTuple):
    """The instants `first`, `first + every`, and so on."""

    first: datetime
    every: timedelta


class WantedTicks(TypedDict, total=False):
    """Which ticks, and what of each.

    With `known` they have their source, `visible_since` and the times of withdrawals. With `near` a store may leave
    out those that lie a minute or more before the next of the steps.
    """

    resolution: Resolution
    known: bool
    near: Steps | None


class Selection(TypedDict, total=False):
    """Which rows of a tick: all, or those of some tiers, and with `ids` or `tickers` those of one of these assets.

    Tickers are in any case; a store may return further rows with them. With `fields` the frame has only these.
    """

    tiers: range | None
    ids: Collection[int] | None
    tickers: Collection[str] | None
    fields: Collection[str] | None
    resolution: Resolution


class Store(Protocol):
    """Stores whole snapshots. Every method may raise StoreUnavailable, StoreRejected or StoreMalformed.

    - A marker becomes visible only after all rows of its snapshot. Rows without a marker are not read.
    - The first complete snapshot of a tick stays: writing the tick again changes nothing. What an answer used is never
      rewritten.
    - The store sets `stored_at` when it takes a snapshot. A snapshot from a backup has it already, and it stays.
    - A withdrawal changes the marker only. `markers`, `nearest` and `first` return withdrawn markers too.
    - Rows have the series' columns and are sorted by `cmc_id`. A missing tag or field is null, never 0.
    - All ticks after `horizon` are kept; before it, the first tick of each hour (`resolution="1h"`).
    """

    async def write(self, snapshot: Snapshot) -> None:
        """Store a snapshot: its rows, then its marker. Returns once the store has confirmed both."""

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """Withdraw the ticks with start <= tick <= stop from now on. Nothing is deleted. Returns the ticks it changed.

        A tick that is withdrawn already does not change. In InfluxDB this needs a token that may write both buckets.
        """

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """Let the withdrawn ticks with start <= tick <= stop answer again from now on. Returns the ticks it changed."""

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """The markers with start <= tick <= stop, oldest first, of one series or all; withdrawn ones too.

        Of all series: if a marker is among them, then all of the span with an older `stored_at` are, too. A snapshot
        that was stored while another one's write was under way is there once that has ended.
        """

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """The newest marker of a series not after `at`, however old."""

    async def first(self, series: str) -> Marker | None:
        """The oldest marker of a series."""

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """The rows of one exact tick that have a value in one of the frame's fields.

        A field that its series gained later is null.
        """
        return (await self.rows_between(series, [tick], **selection))[tick]

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """A series' ticks with start <= tick <= stop, oldest first, without withdrawn ones. Cheap.

        With `known_at`: those that were visible, and not withdrawn, by then.
        """

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """As `ticks`, with intervals; withdrawn ticks are among them and marked. See `WantedTicks`."""

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """The newest tick not after `at`, however old, that was fetched at its time; else the newest of all.

        Looks back in growing spans, but most often the newest of all was fetched at its time.
        """
        newest = await self.nearest(series, at)
        if newest is None:
            return None
        if not newest.backfilled:
            return newest.stored_tick
        for resolution, start in product(RESOLUTIONS, (newest.tick - DAY, newest.tick - 30 * DAY, EPOCH)):
            ticks = await self.stored_ticks(series, start, newest.tick, resolution=resolution)
            if live := [tick for tick in ticks if not tick.backfilled]:
                return live[-1]
        return newest.stored_tick

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """One asset's rows at these ticks of markers, oldest first: `tick`, then the series' columns.

        A tick without a row of the asset is absent. `series` may have fewer fields than the stored one.
        """

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """The result of `rows` for each of these ticks. For neighbouring ticks: a store may read all in between."""

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """Every ticker and name of an asset in price snapshots since then: `cmc_id`, `symbol`, `name`, `first`, `last`.

        The times are those of the first and the last snapshot with the name, `first` perhaps not before `since`;
        `last` is exact to the hour. Names older than the retention stay. Cheap: no table of rows is read.
        """

    async def mark_sealed(self, series: str, hashes: Mapping[datetime, str]) -> None:
        """Allow to delete the ticks that the archive has with the same content hash. Does nothing by default."""
        return

    def horizon(self) -> datetime:
        """The instant before which only hourly snapshots are sure to exist."""

    async def ready(self) -> None:
        """Run a real query. Raises if the store cannot answer it."""

    async def close(self) -> None:
        """Close files and connections."""


def merged_names(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The names of these frames as one row each, from the first to the last of their times."""
    keys = [ID, *PRICE.tags]
    every = pl.concat([pl.DataFrame(schema=NAME_COLUMNS), *(frame.select(*NAME_COLUMNS) for frame in frames)])
    return every.group_by(keys).agg(pl.col("first").min(), pl.col("last").max()).sort(keys)


def warn_if_different(stored: Marker, new: Marker) -> None:
    """Log that a tick keeps its snapshot although another one came for it."""
    if stored.hash != new.hash:
        log.warning(
            "snapshot not stored: its tick has another one", series=new.series, tick=new.tick, source=new.source
        )


def log_withdrawal(event: str, series: str, ticks: list[datetime], **more: str) -> list[datetime]:
    """Log which ticks a withdrawal or its undoing changed, if any, and return them."""
    if ticks:
        log.warning(event, series=series, ticks=len(ticks), first=ticks[0], last=ticks[-1], **more)
    return ticks
