"""Stand-ins for what the services are handed: a store, a clock, an upstream; all in memory."""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Unpack

import httpx
import polars as pl

from lib.clock import slot
from lib.errors import TopcoinsError
from lib.http_client import open_client
from lib.schema import ID, PRICE, TIER, Series
from lib.snapshot import Marker, Snapshot, StoredTick, first_of_hours, visible_at
from lib.store import Resolution, Selection, Store, View, WantedTicks, merged_names
from lib.text import search_key

RECORDED = Path(__file__).parent / "recorded"
NOON = datetime(2026, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

Answer = Callable[[httpx.Request], httpx.Response]


def recorded(name: str) -> Any:
    """The recorded answer of this file name, without its ending."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


class FakeClock:
    """A clock that changes only when it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self.now = at

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        """Forward by the arguments of a timedelta."""
        self.now += timedelta(**span)


class MemoryStore(Store):
    """A `Store` over a dict. While `failure` is set, every question raises it."""

    def __init__(self, clock: Callable[[], datetime], *, retention: timedelta = timedelta(days=30)) -> None:
        self.snapshots: dict[tuple[str, datetime], Snapshot] = {}
        self.failure: TopcoinsError | None = None
        self.closed = False
        self._clock = clock
        self._retention = retention

    async def write(self, snapshot: Snapshot) -> None:
        """See `Store.write`."""
        await self.ready()
        stamped = replace(snapshot, marker=snapshot.marker.with_stored_at(self._clock()))
        self.snapshots.setdefault((snapshot.series.name, snapshot.tick), stamped)
        hours = set()
        horizon = self.horizon()
        for name, tick in sorted(key for key in self.snapshots if key[1] < horizon):
            hour = (name, slot(tick, HOUR))
            if hour in hours:
                del self.snapshots[name, tick]
            hours.add(hour)

    async def withdraw(self, series: str, start: datetime, stop: datetime, *, why: str) -> list[datetime]:
        """See `Store.withdraw`."""
        now = self._clock()
        return await self._change(series, start, stop, lambda marker: marker.withdrawn(now, why))

    async def undo_withdrawal(self, series: str, start: datetime, stop: datetime) -> list[datetime]:
        """See `Store.undo_withdrawal`."""
        now = self._clock()
        return await self._change(series, start, stop, lambda marker: marker.restored(now))

    async def _change(
        self, series: str, start: datetime, stop: datetime, change: Callable[[Marker], Marker]
    ) -> list[datetime]:
        await self.ready()
        changed = [new for old in await self.markers(start, stop, series=series) if (new := change(old)) != old]
        for marker in changed:
            key = marker.series, marker.tick
            self.snapshots[key] = replace(self.snapshots[key], marker=marker)
        return [marker.tick for marker in changed]

    async def markers(
        self, start: datetime, stop: datetime, *, series: str | None = None, **view: Unpack[View]
    ) -> list[Marker]:
        """See `Store.markers`."""
        await self.ready()
        found = [m for m in visible_at(self._markers(series), view.get("known_at")) if start <= m.tick <= stop]
        found.sort(key=lambda m: (m.tick, m.series))
        return first_of_hours(found) if view.get("resolution") == "1h" else found

    async def nearest(self, series: str, at: datetime) -> Marker | None:
        """See `Store.nearest`."""
        await self.ready()
        return max((m for m in self._markers(series) if m.tick <= at), key=lambda m: m.tick, default=None)

    async def first(self, series: str) -> Marker | None:
        """See `Store.first`."""
        await self.ready()
        return min(self._markers(series), key=lambda m: m.tick, default=None)

    async def rows(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        """See `Store.rows`."""
        await self.ready()
        return self._select(series, tick, **selection)

    def _select(self, series: Series, tick: datetime, **selection: Unpack[Selection]) -> pl.DataFrame:
        fields, tiers, ids = selection.get("fields"), selection.get("tiers"), selection.get("ids")
        found = self.snapshots.get((series.name, tick))
        shown = series.only(fields)
        rows = (found.rows if found else series.empty()).select(*shown.columns)
        wanted = [_has_any(shown.fields)]
        if tiers is not None:
            wanted.append((pl.col(TIER) >= tiers.start) & (pl.col(TIER) < tiers.stop))
        named = [] if ids is None else [pl.col(ID).is_in(list(ids))]
        if (tickers := selection.get("tickers")) is not None:
            named.append(pl.col("symbol").str.to_lowercase().is_in([search_key(ticker) for ticker in tickers]))
        if named:
            wanted.append(pl.any_horizontal(named))
        return rows.filter(*wanted)

    async def ticks(self, series: str, start: datetime, stop: datetime, **view: Unpack[View]) -> list[datetime]:
        """See `Store.ticks`."""
        markers = await self.markers(start, stop, series=series, **view)
        return [marker.tick for marker in markers if not marker.is_withdrawn(view.get("known_at"))]

    async def stored_ticks(
        self, series: str, start: datetime, stop: datetime, **wanted: Unpack[WantedTicks]
    ) -> list[StoredTick]:
        """See `Store.stored_ticks`."""
        markers = await self.markers(start, stop, series=series, resolution=wanted.get("resolution", "1m"))
        near = wanted.get("near")
        return [m.known_tick for m in markers if not near or (near.first - m.tick) % near.every < timedelta(minutes=1)]

    async def newest_tick(self, series: str, at: datetime) -> StoredTick | None:
        """See `Store.newest_tick`."""
        await self.ready()
        before = [marker for marker in self._markers(series) if marker.tick <= at]
        newest = max(before, key=lambda marker: (not marker.backfilled, marker.tick), default=None)
        return newest.stored_tick if newest else None

    async def history(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], *, resolution: Resolution = "1m"
    ) -> pl.DataFrame:
        """See `Store.history`."""
        await self.ready()
        columns = {"tick": pl.Datetime("us", "UTC"), **series.columns}
        stored = {tick: self.snapshots.get((series.name, tick)) for tick in sorted(set(ticks))}
        parts = [
            snapshot.rows.select(pl.lit(tick, columns["tick"]).alias("tick"), *series.columns)
            for tick, snapshot in stored.items()
            if snapshot
        ]
        return pl.concat([pl.DataFrame(schema=columns), *parts]).filter(pl.col(ID) == cmc_id, _has_any(series.fields))

    async def rows_between(
        self, series: Series, ticks: Collection[datetime], **selection: Unpack[Selection]
    ) -> dict[datetime, pl.DataFrame]:
        """See `Store.rows_between`."""
        await self.ready()
        return {tick: self._select(series, tick, **selection) for tick in ticks}

    async def asset_names(self, since: datetime) -> pl.DataFrame:
        """See `Store.asset_names`."""
        await self.ready()
        return merged_names(
            snapshot.rows.with_columns(
                pl.lit(at).cast(pl.Datetime("us", "UTC")).alias(name) for name in ("first", "last")
            )
            for (series, at), snapshot in self.snapshots.items()
            if series == PRICE.name and at >= since
        )

    def horizon(self) -> datetime:
        """See `Store.horizon`."""
        return self._clock() - self._retention

    async def ready(self) -> None:
        """See `Store.ready`."""
        if self.failure:
            raise self.failure

    async def close(self) -> None:
        """See `Store.close`."""
        self.closed = True

    def _markers(self, series: str | None) -> list[Marker]:
        return [snapshot.marker for (name, _), snapshot in self.snapshots.items() if series in (None, name)]


def _has_any(fields: Collection[str]) -> pl.Expr:
    """Whether a row has a value in any of these fields."""
    return pl.any_horizontal(pl.lit(False), *(pl.col(name).is_not_null() for name in fields))


class Upstream:
    """Gives its answers in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.asked: list[httpx.Request] = []
        self.answers = list(answers)

    @property
    def client(self) -> httpx.AsyncClient:
        """A client that talks to this upstream alone."""
        return open_client({}, transport=httpx.MockTransport(self._answer))

    def queries(self, *names: str) -> list[tuple[int, ...]]:
        """What each request asked in these whole-number parameters."""
        return [tuple(int(request.url.params[name]) for name in names) for request in self.asked]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(request)


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with this body: JSON, or raw bytes. `retry_after="5"` is the header `retry-after`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(status, content=content, headers=named)


def fails(failure: BaseException) -> Answer:
    """No answer, but this failure of the transport."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise failure

    return answer
