"""A `Store` on an InfluxDB server: minutes in one bucket, the first tick of each hour in one that is kept longer."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import polars as pl
from pydantic import SecretStr

from lib import schema
from lib.clock import Clock, slot
from lib.errors import StoreMalformed, StoreUnavailable
from lib.schema import TIER_PLACES, Series
from lib.snapshot import HOUR, Marker, Snapshot, StoredTick, first_of_hours, first_ticks_of_hours, visible_at
from lib.store import Resolution, log_withdrawal, warn_if_different
from lib.store.influx import answer, flux, lines
from lib.store.influx.claims import Claim, writer
from lib.store.influx.failures import StoreMissing
from lib.store.influx.flux import EVER, FOREVER
from lib.store.influx.server import TIMEOUT, Server

RETENTION = timedelta(days=90)
SECOND = timedelta(seconds=1)
_WIDENING = (timedelta(), timedelta(days=1), timedelta(days=30), FOREVER - EVER)
"""How far back a tick is looked for that was not backfilled."""
ALL_TIERS = range(len(TIER_PLACES) + 1)


class InfluxStore:
    """A `Store` on the server at `url`. Reads use `read_url` where it is set, such as a replica's.

    A writer claims a tick before it writes. It first deletes rows that an unfinished write left without a marker;
    without the claim they could be those of a writer that is still at work.
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
        self._writer = Server(url, org=org, token=token, timeout=timeout)
        self._reader = Server(read_url, org=org, token=token, timeout=timeout) if read_url else self._writer
        self._name = writer()
        self._bucket = bucket
        self._clock = clock
        self._retention = retention

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`. One request writes the rows, a second the marker once the rows are confirmed.

        A snapshot older than the raw bucket's retention is written to the hourly bucket.
        """
        bucket = self._bucket if snapshot.tick >= self.horizon() else flux.hourly(self._bucket)
        made = await self._writer.in_thread(lambda: lines.rows(snapshot))
        tick = snapshot.tick.replace(microsecond=0)
        claim = Claim(self._writer, self._name, bucket, snapshot.series.name, tick)
        if not await self._cleared(bucket, snapshot, claim):
            return
        claim.check()
        await self._writer.write(bucket, made)
        claim.check()
        await self._writer.write(bucket, lines.marker(snapshot.marker.with_stored_at(self._clock())))

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
        self,
        start: datetime,
        stop: datetime,
        *,
        series: str | None = None,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[Marker]:
        """See `Store.markers`."""
        found = visible_at(await self._markers(self._of(resolution), start, stop, series), known_at)
        return first_of_hours(found) if resolution == "1h" else found

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
        """See `Store.rows`."""
        shown = series if fields is None else series.only(fields)
        numbers = None if ids is None else sorted({int(id_) for id_ in ids})
        query = self._rows(series, shown, tick, tick, tiers, numbers, resolution)
        return await self._reader.query(query, lambda csv: answer.rows(csv, shown)) if query else shown.empty()

    async def ticks(
        self,
        series: str,
        start: datetime,
        stop: datetime,
        *,
        resolution: Resolution = "1m",
        known_at: datetime | None = None,
    ) -> list[datetime]:
        """See `Store.ticks`."""
        if not flux.spans(start, stop):
            return []
        query = flux.ticks(self._of(resolution), series, start, stop, stored_at=known_at is not None)
        answers = await self._reader.query(query, lambda csv: answer.ticks(csv, known_at))
        ticks = list(answers)
        if resolution == "1h":
            ticks = sorted({slot(tick, HOUR): tick for tick in reversed(ticks)}.values())
        return [tick for tick in ticks if answers[tick]]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, *, resolution: Resolution = "1m"
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        found = await self._stored_ticks(self._of(resolution), series, start, stop)
        return first_ticks_of_hours(found) if resolution == "1h" else found

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        for bucket in (self._bucket, flux.hourly(self._bucket)):
            newest = max(await self._times(flux.outermost(bucket, series, EVER, at, "last")), default=EVER)
            for span in _WIDENING:
                ticks = await self._stored_ticks(bucket, series, max(newest - span, EVER), newest)
                if live := [tick for tick in ticks if not tick.backfilled]:
                    return live[-1]
        marker = await self.nearest(series, at)
        return marker.stored_tick if marker else None

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`. One query reads the whole span, however many of its ticks are wanted."""
        wanted = sorted(ticks)
        if not wanted or not series.fields:
            return answer.history("", series, wanted)
        query = flux.history(self._of(resolution), series, int(cmc_id), wanted[0], wanted[-1])
        return await self._reader.query(query, lambda csv: answer.history(csv, series, wanted))

    async def rows_between(
        self,
        series: Series,
        ticks: Collection[datetime],
        *,
        tiers: range | None = None,
        fields: Collection[str] | None = None,
        resolution: Resolution = "1m",
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`. One query reads all ticks between: to find a series costs more than more points."""
        wanted = sorted({*ticks})
        if len(wanted) == 1:
            return {wanted[0]: await self.rows(series, wanted[0], tiers=tiers, fields=fields, resolution=resolution)}
        shown = series if fields is None else series.only(fields)
        query = self._rows(series, shown, wanted[0], wanted[-1], tiers, None, resolution) if wanted else ""
        if not query:
            return {tick: shown.empty() for tick in wanted}
        return await self._reader.query(query, lambda csv: answer.rows_by_tick(csv, shown, wanted))

    def _rows(
        self,
        series: Series,
        shown: Series,
        start: datetime,
        stop: datetime,
        tiers: range | None,
        ids: Sequence[int] | None,
        resolution: Resolution,
    ) -> str:
        """The query; empty where it would match nothing."""
        if tiers is not None and tiers.start <= ALL_TIERS.start and ALL_TIERS.stop <= tiers.stop:
            tiers = None
        if not flux.spans(start, stop) or (tiers is not None and not tiers) or ids == [] or not shown.fields:
            return ""
        bucket = self._of(resolution)
        return flux.rows(bucket, series, shown.fields, start, stop, tiers, ids)

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock() - self._retention

    async def ready(self) -> None:
        """See `Store.ready`. InfluxDB's own /health reports "pass" even when no query works."""
        now = self._clock()
        await self._reader.query(flux.ready(self._bucket, schema.PRICE.name, now - HOUR, now), answer.check_ready)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._writer.close()
        await self._reader.close()

    def _of(self, resolution: Resolution) -> str:
        return flux.bucket_of(self._bucket, resolution)

    async def _change(
        self, series: str, start: datetime, stop: datetime, change: Callable[[Marker], Marker]
    ) -> list[datetime]:
        """Change the markers of a span in both buckets. Run again after a failure, it changes what is left."""
        ticks: set[datetime] = set()
        for bucket in (flux.hourly(self._bucket), self._bucket):
            markers = await self._markers(bucket, start, stop, series)
            changed = [new for old in markers if (new := change(old)) != old]
            if changed:
                await self._writer.write(bucket, b"\n".join(lines.withdrawal(marker) for marker in changed))
            ticks.update(marker.tick for marker in changed)
        return sorted(ticks)

    async def _markers(self, bucket: str, start: datetime, stop: datetime, series: str | None) -> list[Marker]:
        if not flux.spans(start, stop):
            return []
        return await self._reader.query(flux.markers(bucket, start, stop, series), answer.markers)

    async def _stored_ticks(self, bucket: str, series: str, start: datetime, stop: datetime) -> list[StoredTick]:
        if not flux.spans(start, stop):
            return []
        return await self._reader.query(flux.stored_ticks(bucket, series, start, stop), answer.stored_ticks)

    async def _times(self, question: str) -> list[datetime]:
        """The times a query gives; none from the hourly bucket before `topcoins init` has made it."""
        try:
            return await self._reader.query(question, answer.times)
        except StoreMissing:
            return []

    async def _hourly(self, series: str, start: datetime, stop: datetime, pick: flux.Pick) -> Marker | None:
        try:
            return await self._outermost(flux.hourly(self._bucket), series, start, stop, pick)
        except StoreMissing:
            # Before `topcoins init` there is no hourly bucket, and an ingestor's token does not see it.
            return None

    async def _outermost(
        self, bucket: str, series: str, start: datetime, stop: datetime, pick: flux.Pick
    ) -> Marker | None:
        """The first or last complete marker of a span."""
        while flux.spans(start, stop):
            ticks = await self._reader.query(flux.outermost(bucket, series, start, stop, pick), answer.times)
            if not ticks:
                break
            tick = min(ticks) if pick == "first" else max(ticks)
            if found := await self._markers(bucket, tick, tick, series):
                return found[0]
            # A point that lacks fields is no marker: continue beyond it.
            start, stop = (tick + SECOND, stop) if pick == "first" else (start, tick - SECOND)
        return None

    async def _cleared(self, bucket: str, snapshot: Snapshot, claim: Claim) -> bool:
        """Whether the tick is free. Deletes the rows of an unfinished write: those with other tags would stay."""
        series, tick = snapshot.series, snapshot.tick.replace(microsecond=0)
        try:
            has_rows, markers = await self._leftovers(bucket, series, tick, claim)
        except StoreMalformed as exc:  # the snapshot is not at fault: it must wait
            raise StoreUnavailable(str(exc)) from exc
        if markers:
            warn_if_different(markers[0], snapshot.marker)
            return False
        if not has_rows:
            return True
        claim.check()
        await self._writer.delete(bucket, tick, flux.is_marker(series))
        await self._writer.delete(bucket, tick, flux.is_row(series))
        return True

    async def _leftovers(self, bucket: str, series: Series, tick: datetime, claim: Claim) -> tuple[bool, list[Marker]]:
        """Whether an earlier write left rows, and its markers; once it is complete or no other writer is at work."""
        await claim.make()
        while True:
            others = await claim.others()
            has_rows, markers = await self._writer.query(flux.leftovers(bucket, series, tick), answer.leftovers)
            if markers or not others:
                return has_rows, markers
            await claim.give_way(others)
            claim.check()
