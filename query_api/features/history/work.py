"""One asset over time: at each step the values that the as-of rule gives there. Gaps show; nothing looks ahead."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

import polars as pl
from pydantic import BaseModel

from lib.schema import PRICE, VOLUME_RANK
from lib.store import Resolution
from query_api.asof.find_pair import PairFinder
from query_api.asof.names import name_runs
from query_api.asof.rows import PRICE_FIELDS, read_history, resolution_of
from query_api.asof.tick_pairs import TickPair, were_known
from query_api.features.history.points import IS_GAP, NAME, SCHEMA, points_of
from query_api.features.history.step_pairs import Pairs, StepPairs
from query_api.http.caching import WRITE_TIMEOUT

Fill = Literal["none", "null", "previous"]
FILLS: tuple[Fill, ...] = get_args(Fill)
USUALLY_STORED = timedelta(minutes=5)
"""So long after its tick a snapshot is stored, unless it comes late."""


class Covered(BaseModel):
    """Of a page's expected steps: the asset was there, was in no list, or there was no snapshot; and gaps filled."""

    expected: int
    present: int
    absent: int
    missing: int
    filled: int


@dataclass(frozen=True, slots=True)
class History:
    """The points, as rows of `SCHEMA`, the asset's names, the coverage, and each step's pair with its resolution.

    A step's pair is None in a gap, also where the gap is filled. `known_at` gives the same history again.
    """

    points: pl.DataFrame
    names: list[dict[str, Any]]
    coverage: Covered
    steps: Sequence[datetime]
    pairs: Sequence[tuple[TickPair, Resolution] | None]
    known_at: datetime


async def history_of(
    finder: PairFinder,
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
    store, horizon = finder.store, finder.store.horizon()
    if not steps:
        none = Covered(expected=0, present=0, absent=0, missing=0, filled=0)
        return History(pl.DataFrame(schema=SCHEMA), [], none, [], [], known_at or now)
    step_pairs = StepPairs(finder, steps, every)
    newest, known = await _known_pairs(step_pairs, steps[-1], now, known_at, ever=fill == "previous")
    pairs = [
        pair if pair and pair.price.tick > step - every else None for step, pair in zip(steps, newest, strict=True)
    ]
    shown = newest if fill == "previous" else pairs
    used = [pair for pair in shown if pair]
    price, rank = await asyncio.gather(
        read_history(store, PRICE.only(PRICE_FIELDS), cmc_id, {pair.price.tick for pair in used}, horizon),
        read_history(store, VOLUME_RANK, cmc_id, {pair.rank.tick for pair in used}, horizon),
    )

    def build() -> History:
        points = points_of(steps, shown, pairs, price, rank, horizon)
        resolved = [(pair, resolution_of(pair.price.tick, horizon)) if pair else None for pair in pairs]
        there = points.filter(pl.col("price_usd").is_not_null())
        listed = points if fill == "null" else there
        return History(listed.select(*SCHEMA), _names(there), _coverage(points), steps, resolved, known)

    return await asyncio.to_thread(build)


async def _known_pairs(
    pairs: StepPairs, last: datetime, now: datetime, known_at: datetime | None, *, ever: bool
) -> tuple[Pairs, datetime]:
    """The newest pair up to each step, and a `known_at` that gives them: of a span long past always the same."""
    if known_at:
        return await pairs.newest(known_at, ever=ever), known_at
    newest = await pairs.newest(None, ever=ever)
    ticks = [max(pair.price.tick, pair.rank.tick) for pair in newest if pair]
    usual = max(ticks, default=last) + USUALLY_STORED
    for at in (usual, now - WRITE_TIMEOUT):
        if at >= now or not await asyncio.to_thread(were_known, newest, at):
            continue
        if _ticks(await pairs.newest(at, ever=ever)) == _ticks(newest):
            return newest, at
    known = await pairs.newest(now, ever=ever)
    return (newest if _ticks(known) == _ticks(newest) else known), now


def _ticks(pairs: Pairs) -> list[tuple[datetime, datetime] | None]:
    return [(pair.price.tick, pair.rank.tick) if pair else None for pair in pairs]


def _coverage(points: pl.DataFrame) -> Covered:
    there, is_gap = points["price_usd"].is_not_null(), points[IS_GAP]
    present, missing = int((there & ~is_gap).sum()), int(is_gap.sum())
    return Covered(
        expected=len(points),
        present=present,
        absent=len(points) - missing - present,
        missing=missing,
        filled=int(there.sum()) - present,
    )


def _names(points: pl.DataFrame) -> list[dict[str, Any]]:
    """The names in these points. Only the ends of each name's runs are looked at."""
    run = pl.struct("symbol", NAME).rle_id()
    ends = points.filter(run.is_first_distinct() | run.is_last_distinct())
    return name_runs((at, (symbol, name)) for at, symbol, name in ends.select("at", "symbol", NAME).iter_rows())
