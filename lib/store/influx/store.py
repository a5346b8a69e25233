"""A `Store` on an InfluxDB server: minutes in one bucket, the first tick of each hour in one that is kept longer.

The first is the raw bucket, the second the hourly one. In this package a "series of InfluxDB" is one combination of
tags, such as one asset of `price`; a series alone is the project's, such as `price`.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Unpack

import polars as pl
from pydantic import SecretStr

from lib import schema
from lib.clock import HOUR, SECOND, Clock
from lib.schema import Series
from lib.snapshot import Marker, Snapshot, StoredTick, first_of_hours, visible_at
from lib.store import Resolution, Selection, Store, View, WantedTicks, log_withdrawal, merged_names
from lib.store.influx import answer, flux, lines, row_reads
from lib.store.influx.claims import VALID, Claim, any_new, read_claims, without_unsettled
from lib.store.influx.failures import StoreMissing
from lib.store.influx.flux import EVER, FOREVER
from lib.store.influx.markers import read_markers, read_stored_ticks
from lib.store.influx.server import TIMEOUT, Server

RETENTION = timedelta(days=90)  # how long the raw bucket keeps a tick, by default
_RECENT = timedelta(hours=3)
"""The hourly bucket is filled every ten minutes, and an hour's first tick may be late."""


class InfluxStore(Store):
    """A `Store` on the server at `url`. Reads use `read_url` where it is set, such as a replica's.

    A writer claims a tick before it writes (`claims.py`). Then it deletes the rows that an unfinished write left
    without a marker. Without the claim, such rows could belong to a writer that is still at work.
    """

    def __init__(
        self,
        url: str,
        *,
        org: str,
        bucket: str,
        token: SecretStr | None,
        clock: Clock,
        retention: timedelta = RETENTION,
        read_url: str | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._write_server = Server(url, org=org, token=token, timeout=timeout)
        self._read_server = Server(read_url, org=org, token=token, timeout=timeout) if read_url else self._write_server
        self._writer_name = uuid.uuid4().hex
        self._bucket = bucket
        self._clock = clock
        self._retention = retention

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`. The rows, then the marker; into the hourly bucket what is past the raw one's retention."""
        bucket = self._bucket if snapshot.tick >= self.horizon() else flux.hourly(self._bucket)
        row_lines = await self._write_server.in_thread(lambda: lines.rows(snapshot))
        claim = Claim(self._write_server, self._writer_name, bucket, snapshot, self._clock)
        if not await claim.clear():
            return
        claim.check()  # before each request: the one before may have outlasted the claim
        await self._write_server.write(bucket, row_lines)
        claim.check()
        await self._write_server.write(bucket, lines.marker(snapshot.marker.with_stored_at(self._clock())))

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        now = self._clock()
        ticks = await self._change(series, start, stop, lambda marker: marker.withdrawn(now, why))
        return log_withdrawal("ticks withdrawn", series, ticks, why=why)

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        now = self._clock()
        ticks = await self._change(series, start, stop, lambda marker: marker.restored(now))
        return log_withdrawal("withdrawal undone", series, ticks)

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        resolution = view.get("resolution")
        bucket = flux.bucket_of(self._bucket, resolution)
        markers = await self._markers(bucket, start, stop, series)
        if series is None and any_new(markers, self._clock()):
            claims = await self._read_server.query(flux.claims(bucket, VALID), read_claims)
            markers = without_unsettled(markers, claims, start, stop)
        visible = visible_at(markers, view.get("known_at"))
        return first_of_hours(visible) if resolution == "1h" else visible

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`. Reads the hourly bucket when the raw one has nothing so old."""
        raw = await self._outermost(self._bucket, series, EVER, at, "last")
        return raw or await self._hourly(series, EVER, at, "last")

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        old, raw = await asyncio.gather(
            self._hourly(series, EVER, FOREVER, "first"),
            self._outermost(self._bucket, series, EVER, FOREVER, "first"),
        )
        return min((marker for marker in (old, raw) if marker), key=lambda marker: marker.tick, default=None)

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        resolution, known_at = view.get("resolution"), view.get("known_at")
        bucket = flux.bucket_of(self._bucket, resolution)
        query = flux.stored_ticks(bucket, series, start, stop, known=known_at is not None)
        ticks, _ = await self._read_server.query(query, read_stored_ticks)
        visible = visible_at(ticks, known_at)
        shown = first_of_hours(visible) if resolution == "1h" else visible
        return [each.tick for each in shown if each.answers(known_at)]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        resolution, known = wanted.get("resolution"), wanted.get("known", False)
        bucket = flux.bucket_of(self._bucket, resolution)
        query = flux.stored_ticks(bucket, series, start, stop, known=known)
        ticks, some_late = await self._read_server.query(query, read_stored_ticks)
        if some_late:
            late = {*await self._read_server.query(flux.backfilled(bucket, series, start, stop), answer.times)}
            ticks = [tick._replace(backfilled=tick.tick in late) for tick in ticks]
        return first_of_hours(ticks) if resolution == "1h" else ticks

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`. One query reads the whole span, however many of its ticks are wanted."""
        wanted = sorted(ticks)
        query = ""
        if wanted and series.fields:
            query = flux.history(flux.bucket_of(self._bucket, resolution), series, int(cmc_id), wanted[0], wanted[-1])
        return await self._read_server.query(query, lambda csv: answer.history(csv, series, wanted))

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`, and `row_reads`."""
        return await row_reads.read(self._read_server, self._bucket, series, ticks, **selection)

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`. Those of the last hours are in the raw bucket, all others in the hourly one."""
        hourly = flux.asset_names(flux.hourly(self._bucket), since, FOREVER)
        try:
            old = await self._read_server.query(hourly, answer.asset_names)
        except StoreMissing:  # before `topcoins init`
            return await self._read_server.query(flux.asset_names(self._bucket, since, FOREVER), answer.asset_names)
        begin = max(since, self._clock() - _RECENT)
        recent = await self._read_server.query(flux.asset_names(self._bucket, begin, FOREVER), answer.asset_names)
        return merged_names([old, recent])

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock() - self._retention

    async def ready(self) -> None:
        """See `Store.ready`. InfluxDB's own /health reports "pass" even when no query works."""
        now = self._clock()
        await self._read_server.query(flux.ready(self._bucket, schema.PRICE.name, now - HOUR, now), answer.check_ready)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._write_server.close()
        await self._read_server.close()

    async def _change(
        self, series: str, start: datetime, stop: datetime, change: Callable[[Marker], Marker]
    ) -> list[datetime]:
        """Change the markers of a span in both buckets. Run again after a failure, it changes what is left.

        The hourly bucket is first: a token that may not write it fails before the raw bucket has changed.
        """
        ticks: set[datetime] = set()
        for bucket in (flux.hourly(self._bucket), self._bucket):
            markers = await self._markers(bucket, start, stop, series)
            changed = [new for old in markers if (new := change(old)) != old]
            if changed:
                await self._write_server.write(bucket, b"\n".join(lines.withdrawal(marker) for marker in changed))
            ticks.update(marker.tick for marker in changed)
        return sorted(ticks)

    async def _markers(self, bucket: str, start: datetime, stop: datetime, series: str | None) -> list[Marker]:
        return await self._read_server.query(flux.markers(bucket, start, stop, series), read_markers)

    async def _hourly(self, series: str, start: datetime, stop: datetime, pick: flux.Pick) -> Marker | None:
        """The first or last marker in the hourly bucket; None where that bucket is missing or may not be read."""
        try:
            return await self._outermost(flux.hourly(self._bucket), series, start, stop, pick)
        except StoreMissing:
            # Before `topcoins init` there is no hourly bucket, and an ingestor's token does not see it.
            return None

    async def _outermost(
        self, bucket: str, series: str, start: datetime, stop: datetime, pick: flux.Pick
    ) -> Marker | None:
        """The first or last complete marker of a span."""
        while ticks := await self._read_server.query(flux.outermost(bucket, series, start, stop, pick), answer.times):
            tick = min(ticks) if pick == "first" else max(ticks)
            if markers := await self._markers(bucket, tick, tick, series):
                return markers[0]
            # A point that lacks fields is no marker: continue beyond it.
            start, stop = (tick + SECOND, stop) if pick == "first" else (start, tick - SECOND)
        return None
