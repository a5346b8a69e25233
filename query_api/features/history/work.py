"""One asset over time: at each step what the as-of rule answers there, with its gaps visible. Nothing looks ahead."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from lib.clock import isoformat, slot
from lib.schema import PRICE, VOLUME_RANK, Series
from lib.store import Resolution, Store
from query_api.asof.find_pair import HOURLY_AGE, OLDEST, PairFinder
from query_api.asof.pair import TickPairs, rfc3339
from query_api.asof.rows import PRICE_FIELDS

Fill = Literal["none", "null", "previous"]
FILLS: tuple[Fill, ...] = ("none", "null", "previous")
TickPair = tuple[datetime, datetime]
COLUMNS = (
    "at",
    "price_usd",
    "volume_24h_usd",
    "source_rank",
    "symbol",
    "price_time",
    "rank_time",
    "price_updated_at",
    "resolution",
    "filled",
)
"""A point's columns."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The instants `start`, `start + every`, … before `stop`; `following` is where a next page begins."""

    start: datetime
    stop: datetime
    every: timedelta
    most: int

    @property
    def all(self) -> list[datetime]:
        """The steps of this page."""
        number = min(-((self.start - self.stop) // self.every), self.most)
        return [self.start + n * self.every for n in range(number)]

    @property
    def following(self) -> datetime | None:
        """The first step that is not on this page."""
        after = self.start + self.most * self.every
        return after if after < self.stop else None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of the expected steps: the asset was there, was in no list, or there was no snapshot; and gaps filled in."""

    expected: int
    present: int
    absent: int
    missing: int
    filled: int


@dataclass(frozen=True, slots=True)
class History:
    """The points, each a dict of `COLUMNS`, the names the asset went by, and what the points cover."""

    points: list[dict[str, Any]]
    names: list[dict[str, Any]]
    coverage: Coverage


class Histories:
    """Reads histories from one store."""

    def __init__(self, store: Store, pairs: PairFinder) -> None:
        self._store = store
        self._pairs = pairs

    async def of(self, cmc_id: int, steps: Sequence[datetime], every: timedelta, fill: Fill) -> History:
        """An asset's point at each step T: of the newest pair whose price tick lies in (T - every, T].

        Without one the step is a gap: left out, null, or with `fill="previous"` that of the newest pair at all,
        marked as such. A step whose pair does not hold the asset is never filled: it was not listed.
        """
        if not steps:
            return History([], [], Coverage(0, 0, 0, 0, 0))
        horizon = self._store.horizon()
        pairs = await self._newest(steps, every, horizon, ever=fill == "previous")
        fresh = [pair is not None and pair[0] > step - every for step, pair in zip(steps, pairs, strict=True)]
        used = [pair for pair, new in zip(pairs, fresh, strict=True) if pair and (new or fill == "previous")]
        price, rank = await asyncio.gather(
            self._rows(PRICE.only(PRICE_FIELDS), cmc_id, {pair[0] for pair in used}, horizon),
            self._rows(VOLUME_RANK, cmc_id, {pair[1] for pair in used}, horizon),
        )
        points = [
            _point(step, pair if new or fill == "previous" else None, price, rank, horizon, filled=not new)
            for step, pair, new in zip(steps, pairs, fresh, strict=True)
        ]
        there = [point["price_usd"] is not None for point in points]
        present = sum(new and known for new, known in zip(fresh, there, strict=True))
        coverage = Coverage(len(steps), present, sum(fresh) - present, len(steps) - sum(fresh), sum(there) - present)
        shown = [point for point, known in zip(points, there, strict=True) if known or fill == "null"]
        return History([{name: point[name] for name in COLUMNS} for point in shown], _names(shown), coverage)

    async def _newest(
        self, steps: Sequence[datetime], every: timedelta, horizon: datetime, *, ever: bool
    ) -> list[TickPair | None]:
        """The newest pair of ticks not after each step; with `ever` however old the first one is."""
        start = max(steps[0], OLDEST) - every - 2 * self._pairs.max_skew
        prices, ranks = await asyncio.gather(
            *(self._ticks(series.name, start, steps[-1], horizon) for series in (PRICE, VOLUME_RANK))
        )
        pairs = TickPairs(prices, ranks, self._pairs.max_skew)
        found = [pairs.at(step) for step in steps]
        if ever and found[0] is None and (before := await self._pairs.before(steps[0])):
            return [pair or (before.price.tick, before.rank.tick) for pair in found]
        return found

    async def _ticks(self, series: str, start: datetime, stop: datetime, horizon: datetime) -> set[datetime]:
        raw = await self._store.ticks(series, max(start, horizon), stop) if stop >= horizon else []
        if start >= horizon:
            return set(raw)
        old = await self._store.ticks(series, slot(start, HOURLY_AGE), min(stop, horizon), resolution="1h")
        return {*raw, *(tick for tick in old if tick < horizon)}

    async def _rows(
        self, series: Series, cmc_id: int, ticks: Iterable[datetime], horizon: datetime
    ) -> dict[datetime, dict[str, Any]]:
        found: dict[datetime, dict[str, Any]] = {}
        for resolution in ("1h", "1m"):
            wanted = sorted(tick for tick in ticks if _resolution(tick, horizon) == resolution)
            if wanted:
                rows = await self._store.history(series, cmc_id, wanted, resolution=_resolution(wanted[0], horizon))
                if "updated_at" in rows.columns:
                    rows = rows.with_columns(rfc3339(rows["updated_at"]))
                found |= {row["tick"]: row for row in rows.iter_rows(named=True)}
        return found


def _resolution(tick: datetime, horizon: datetime) -> Resolution:
    return "1h" if tick < horizon else "1m"


def _point(
    step: datetime,
    pair: TickPair | None,
    price: dict[datetime, dict[str, Any]],
    rank: dict[datetime, dict[str, Any]],
    horizon: datetime,
    *,
    filled: bool,
) -> dict[str, Any]:
    """One step's point. A filled one without the asset says nothing, a fresh one says when it was not there."""
    point: dict[str, Any] = {**dict.fromkeys(COLUMNS), "name": None, "at": isoformat(step), "filled": False}
    if pair is None:
        return point
    priced, ranked = price.get(pair[0]), rank.get(pair[1])
    there = priced is not None and ranked is not None
    if there or not filled:
        point |= {"price_time": isoformat(pair[0]), "rank_time": isoformat(pair[1])}
        point |= {"resolution": _resolution(pair[0], horizon), "filled": filled}
    if priced is not None and ranked is not None:
        point |= {"price_usd": priced["usd"], "price_updated_at": priced["updated_at"]}
        point |= {"symbol": priced["symbol"], "name": priced["name"]}
        point |= {"volume_24h_usd": ranked["volume_usd"], "source_rank": int(ranked["rank"])}
    return point


def _names(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tickers and names the asset went by, from the first to the last step of each."""
    runs: list[dict[str, Any]] = []
    for point in points:
        if point["price_usd"] is None:
            continue
        named = {"symbol": point["symbol"], "name": point["name"]}
        if not runs or named != {"symbol": runs[-1]["symbol"], "name": runs[-1]["name"]}:
            runs.append(named | {"first": point["at"]})
        runs[-1]["last"] = point["at"]
    return runs
