"""The newest pair of ticks up to each step of a history. The work grows with the steps, not with the ticks between."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np

from lib.clock import MINUTE, SECOND
from lib.store import Steps
from lib.times import microseconds
from query_api.asof.find_pair import OLDEST, PairFinder
from query_api.asof.tick_pairs import Sides, TickPair, TickPairs, read_sides

Pairs = list[TickPair | None]
SPARSE = 5 * MINUTE
"""Of steps so far apart, most ticks between are not read."""
MOST_RUNS = 20
"""Of more holes in the ticks near the steps, all ticks are read together."""


class StepPairs:
    """Pairs for regular steps, at any `known_at`. Every tick is read once."""

    def __init__(self, finder: PairFinder, steps: Sequence[datetime], every: timedelta) -> None:
        self._finder = finder
        self._steps = steps
        self._at = microseconds(steps[:1]) + np.arange(len(steps)) * (every // timedelta.resolution)
        self._every = every
        self._reads: dict[tuple[int, int, bool], Sides] = {}

    async def newest(self, known_at: datetime | None, *, ever: bool) -> Pairs:
        """The newest pair up to each step; before the first one of the span none, or with `ever` however old."""
        is_sparse = self._every >= SPARSE and not self._every % SECOND
        own = await (self._near(known_at) if is_sparse else self._all(0, len(self._steps) - 1, known_at))
        newest = await asyncio.to_thread(_carried, own)
        if ever and newest[0] is None and (before := await self._finder.before(self._steps[0], known_at=known_at)):
            first = TickPair(before.price.known_tick, before.rank.known_tick)
            return [pair or first for pair in newest]
        return newest

    async def _near(self, known_at: datetime | None) -> Pairs:
        """By the ticks of the minute before each step; by all ticks only where these do not decide."""
        prices, ranks = await self._read(0, len(self._steps) - 1, near=True)
        pairs = await asyncio.to_thread(
            lambda: self._decided(TickPairs(prices, ranks, self._finder.max_skew, known_at))
        )
        open_steps = [number for number, pair in enumerate(pairs) if pair is None]
        parts = groupby(enumerate(open_steps), lambda each: each[1] - each[0])
        runs = [[number for _, number in part] for _, part in parts]
        if len(runs) > MOST_RUNS:
            return await self._all(0, len(pairs) - 1, known_at)
        for run in runs:
            pairs[run[0] : run[-1] + 1] = await self._all(run[0], run[-1], known_at)
        return pairs

    def _decided(self, pairs: TickPairs) -> Pairs:
        """The pairs of one tick in the minute before each step: no other ticks can be nearer to each other."""
        found = pairs.each(self._at, since=self._at - MINUTE // timedelta.resolution)
        return [
            pair if pair and pair.price.tick == pair.rank.tick > step - MINUTE else None
            for pair, step in zip(found, self._steps, strict=True)
        ]

    async def _all(self, first: int, last: int, known_at: datetime | None) -> Pairs:
        """The newest pair up to each of some steps, by all ticks since the step before."""
        prices, ranks = await self._read(first, last, near=False)
        since = max(self._steps[first], OLDEST) - self._every - self._finder.max_skew

        def paired() -> Pairs:
            pairs = TickPairs(prices, ranks, self._finder.max_skew, known_at)
            at = self._at[first : last + 1]
            return pairs.each(at, since=np.full(len(at), microseconds([since])))

        return await asyncio.to_thread(paired)

    async def _read(self, first: int, last: int, *, near: bool) -> Sides:
        key = first, last, near
        if key not in self._reads:
            start, stop = max(self._steps[first], OLDEST) - self._every, self._steps[last]
            steps = Steps(self._steps[0], self._every) if near else None
            self._reads[key] = await read_sides(
                self._finder.store, start, stop, self._finder.max_skew, known=True, near=steps
            )
        return self._reads[key]


def _carried(pairs: Iterable[TickPair | None]) -> Pairs:
    """Each pair, or else the one before."""
    newest: Pairs = []
    for pair in pairs:
        newest.append(pair or (newest[-1] if newest else None))
    return newest
