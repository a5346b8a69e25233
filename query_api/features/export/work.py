"""Membership as of each step of a span: the answers of `/v1/top` in a row, as they come, in flat memory."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from query_api.asof.find_pair import NoSnapshot
from query_api.asof.top_list import TopList, TopListFinder

MOST_STEPS = 10_000
AT_ONCE = 3
"""Steps asked at a time: as many answers are in memory, however long the span, and others get their turns too."""


@dataclass(frozen=True, slots=True)
class Span:
    """The instants from `start` on, `every` so far apart, before `stop`."""

    start: datetime
    stop: datetime
    every: timedelta

    @property
    def steps(self) -> int:
        """How many there are."""
        return math.ceil((self.stop - self.start) / self.every)

    def at(self, number: int) -> datetime:
        """One of them, from 0."""
        return self.start + number * self.every


@dataclass(frozen=True, slots=True)
class Hole:
    """A step that has no answer, and why."""

    at: datetime
    why: str


@dataclass(slots=True)
class Totals:
    """What an export holds: told at its end, so that one that was cut off is known by having none."""

    steps: int = 0
    answered: int = 0
    gaps: int = 0
    rows: int = 0

    def add(self, step: TopList | Hole) -> None:
        """Count a step."""
        self.steps += 1
        if isinstance(step, TopList):
            self.answered += 1
            self.rows += len(step.rows)
        else:
            self.gaps += 1


async def steps(
    lists: TopListFinder, span: Span, *, limit: int, max_age: timedelta, known_at: datetime | None
) -> AsyncGenerator[TopList | Hole, None]:
    """Each step's answer, in order. What the store raises ends it: a step is never left out."""
    lists = lists.with_hourly_rows(span.stop)

    async def answered(at: datetime) -> TopList | Hole:
        try:
            return await lists.find(at, limit=limit, max_age=max_age, known_at=known_at, explain=False)
        except NoSnapshot as exc:
            return Hole(at, str(exc))

    ahead: deque[asyncio.Task[TopList | Hole]] = deque()
    try:
        for number in range(span.steps):
            ahead.append(asyncio.create_task(answered(span.at(number))))
            if len(ahead) == AT_ONCE:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def begun(found: AsyncIterator[TopList | Hole]) -> AsyncIterator[TopList | Hole]:
    """The same once its first step is there: a store that is away is an error, and not a broken answer."""
    first = await anext(found, None)

    async def whole() -> AsyncIterator[TopList | Hole]:
        if first is None:
            return
        yield first
        async for step in found:
            yield step

    return whole()
