"""One asset over time: at each step the values that the as-of rule gives there. Gaps show; nothing looks ahead."""

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import polars as pl
from pydantic import BaseModel

from lib.clock import isoformat
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.store import Resolution, Store
from query_api.asof.find_pair import PairFinder
from query_api.asof.names import name_runs
from query_api.asof.pair import rfc3339
from query_api.asof.rows import PRICE_FIELDS
from query_api.asof.tick_pairs import TickPair
from query_api.features.history.step_pairs import Pairs, StepPairs

Fill = Literal["none", "null", "previous"]
FILLS: tuple[Fill, ...] = get_args(Fill)
USUALLY_STORED = timedelta(minutes=5)
"""So long after its tick a snapshot is stored, unless it comes late."""
WRITE_TIME = timedelta(seconds=30)
"""A snapshot that was stored longer ago is readable."""


class Covered(BaseModel):
    """Of a page's expected steps: the asset was there, was in no list, or there was no snapshot; and gaps filled."""

    expected: int
    present: int
    absent: int
    missing: int
    filled: int


class Point(BaseModel):
    """One step: of the newest pair whose price tick lies in (at - every, at], with the ticks' own times and sources.

    Without price a null: with times the asset was in no list then, without them there was no snapshot. `filled` says
    that the step is a gap and the point that of the newest pair before it.
    """

    at: datetime
    price_usd: float | None
    volume_24h_usd: float | None
    source_rank: int | None
    symbol: str | None
    price_time: datetime | None
    rank_time: datetime | None
    price_source: str | None
    rank_source: str | None
    price_updated_at: datetime | None
    resolution: Literal["1m", "1h"] | None
    filled: bool


TIMES = ("at", "price_time", "rank_time", "price_updated_at")
"""The columns that are RFC 3339 texts."""
SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(Point.model_fields, pl.String()),
    **dict.fromkeys(("price_usd", "volume_24h_usd"), pl.Float64()),
    "source_rank": pl.Int64(),
    "filled": pl.Boolean(),
}
COLUMNS = tuple(SCHEMA)


@dataclass(frozen=True, slots=True)
class History:
    """The points, each a dict of `COLUMNS`, the asset's names, the coverage, and each step's pair with its resolution.

    A step's pair is None in a gap, also where the gap is filled. `known_at` gives the same history again.
    """

    points: list[dict[str, Any]]
    names: list[dict[str, Any]]
    coverage: Covered
    steps: Sequence[datetime]
    pairs: Sequence[tuple[TickPair, Resolution] | None]
    known_at: datetime


class Histories:
    """Reads histories from one store."""

    def __init__(self, store: Store, pairs: PairFinder) -> None:
        self._store = store
        self._pairs = pairs

    async def of(
        self,
        cmc_id: int,
        steps: Sequence[datetime],
        every: timedelta,
        fill: Fill,
        *,
        now: datetime,
        known_at: datetime | None = None,
    ) -> History:
        """An asset's point at each step T: of the newest pair whose price tick lies in (T - every, T].

        Without such a pair the step is a gap: left out, null, or with `fill="previous"` the point of the newest pair
        before it, marked as filled. A step whose pair does not hold the asset is never filled: it was not listed.
        """
        horizon = self._store.horizon()
        if not steps:
            none = Covered(expected=0, present=0, absent=0, missing=0, filled=0)
            return History([], [], none, [], [], known_at or now)
        newest, known = await self._known_pairs(steps, every, now, known_at, ever=fill == "previous")
        pairs = [
            pair if pair and pair.price.tick > step - every else None for step, pair in zip(steps, newest, strict=True)
        ]
        used = [pair for pair in (newest if fill == "previous" else pairs) if pair]
        price, rank = await asyncio.gather(
            self._rows(PRICE.only(PRICE_FIELDS), cmc_id, {pair.price.tick for pair in used}, horizon),
            self._rows(VOLUME_RANK, cmc_id, {pair.rank.tick for pair in used}, horizon),
        )
        return await asyncio.to_thread(_history, steps, newest, pairs, fill, _Rows(price, rank, horizon), known)

    async def _known_pairs(
        self, steps: Sequence[datetime], every: timedelta, now: datetime, known_at: datetime | None, *, ever: bool
    ) -> tuple[Pairs, datetime]:
        """The newest pair up to each step, and a `known_at` that gives them: of a span long past always the same."""
        pairs = StepPairs(self._store, self._pairs, steps, every)
        if known_at:
            return await pairs.newest(known_at, ever=ever), known_at
        newest = await pairs.newest(None, ever=ever)
        ticks = [max(pair.price.tick, pair.rank.tick) for pair in newest if pair]
        usual = max(ticks, default=steps[-1]) + USUALLY_STORED
        for at in (usual, now - WRITE_TIME):
            if at >= now or not await asyncio.to_thread(_were_known, newest, at):
                continue
            if _ticks(await pairs.newest(at, ever=ever)) == _ticks(newest):
                return newest, at
        known = await pairs.newest(now, ever=ever)
        return (newest if _ticks(known) == _ticks(newest) else known), now

    async def _rows(
        self, series: Series, cmc_id: int, ticks: Collection[datetime], horizon: datetime
    ) -> dict[datetime, dict[str, Any]]:
        found: dict[datetime, dict[str, Any]] = {}
        wanted = sorted(ticks)
        raw_from = bisect_left(wanted, horizon)
        parts: dict[Resolution, list[datetime]] = {"1h": wanted[:raw_from], "1m": wanted[raw_from:]}
        for resolution, some in parts.items():
            if some:
                rows = await self._store.history(series, cmc_id, some, resolution=resolution)
                found |= await asyncio.to_thread(_by_tick, rows)
        return found


def _were_known(pairs: Pairs, at: datetime) -> bool:
    """Whether all snapshots of the pairs answered at an instant."""
    return all(pair.price.answers(at) and pair.rank.answers(at) for pair in pairs if pair)


def _ticks(pairs: Pairs) -> list[tuple[datetime, datetime] | None]:
    return [(pair.price.tick, pair.rank.tick) if pair else None for pair in pairs]


def _by_tick(rows: pl.DataFrame) -> dict[datetime, dict[str, Any]]:
    if "updated_at" in rows.columns:
        rows = rows.with_columns(rfc3339(rows["updated_at"]))
    return {row["tick"]: row for row in rows.iter_rows(named=True)}


def _resolution(tick: datetime, horizon: datetime) -> Resolution:
    return "1h" if tick < horizon else "1m"


@dataclass(frozen=True, slots=True)
class _Rows:
    """An asset's rows by tick."""

    price: Mapping[datetime, dict[str, Any]]
    rank: Mapping[datetime, dict[str, Any]]
    horizon: datetime


def _history(
    steps: Sequence[datetime],
    newest: Sequence[TickPair | None],
    pairs: Sequence[TickPair | None],
    fill: Fill,
    rows: _Rows,
    known_at: datetime,
) -> History:
    points = [
        _point(step, pair or (before if fill == "previous" else None), rows, filled=pair is None)
        for step, pair, before in zip(steps, pairs, newest, strict=True)
    ]
    there = [point["price_usd"] is not None for point in points]
    present = sum(known and pair is not None for pair, known in zip(pairs, there, strict=True))
    fresh = len(pairs) - pairs.count(None)
    coverage = Covered(
        expected=len(steps),
        present=present,
        absent=fresh - present,
        missing=len(steps) - fresh,
        filled=sum(there) - present,
    )
    shown = [point for point, known in zip(points, there, strict=True) if known or fill == "null"]
    columns = [{name: point[name] for name in COLUMNS} for point in shown]
    names = name_runs(
        (point["at"], (point["symbol"], point["name"])) for point in shown if point["price_usd"] is not None
    )
    resolved = [(pair, _resolution(pair.price.tick, rows.horizon)) if pair else None for pair in pairs]
    return History(columns, names, coverage, steps, resolved, known_at)


def _point(step: datetime, pair: TickPair | None, rows: _Rows, *, filled: bool) -> dict[str, Any]:
    """One step's point. Without the asset a filled point is empty; one that is not filled shows the pair's times."""
    point: dict[str, Any] = {**dict.fromkeys(COLUMNS), "name": None, "at": isoformat(step), "filled": False}
    if pair is None:
        return point
    price, rank = rows.price.get(pair.price.tick), rows.rank.get(pair.rank.tick)
    there = price is not None and rank is not None
    if there or not filled:
        point |= {"price_time": isoformat(pair.price.tick), "rank_time": isoformat(pair.rank.tick)}
        point |= {"price_source": pair.price.source, "rank_source": pair.rank.source}
        point |= {"resolution": _resolution(pair.price.tick, rows.horizon), "filled": filled}
    if price is not None and rank is not None:
        point |= {"price_usd": price["usd"], "price_updated_at": price["updated_at"]}
        point |= {"symbol": price["symbol"], "name": price["name"]}
        point |= {"volume_24h_usd": rank["volume_usd"], "source_rank": int(rank["rank"])}
    return point
