"""The list as of each step of a span: the answers of `/v1/top` in a row, in flat memory."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from lib.instants import Span
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import TopList, TopListFinder
from query_api.long_work import LongWork

MOST_STEPS = 10_000
AHEAD = 2
"""Steps that are worked on before they are needed. So many answers are in memory, however long the span."""

GROUP_STEPS = 100


@dataclass(frozen=True, slots=True)
class StepGap:
    """A step that has no answer, and why."""

    at: datetime
    why: str


Step = TopList | StepGap
Steps = AsyncGenerator[Step, None]


@dataclass(slots=True)
class Totals:
    """What an export holds. A complete file ends with them."""

    steps: int = 0
    answered: int = 0
    gaps: int = 0
    rows: int = 0

    def add(self, step: Step) -> int:
        """Count a step, and return the number of rows a table shows of it: a gap is a row."""
        self.steps += 1
        if isinstance(step, StepGap):
            self.gaps += 1
            return 1
        self.answered += 1
        self.rows += len(step.rows)
        return len(step.rows)


async def read_steps(
    lists: TopListFinder,
    span: Span,
    *,
    limit: int,
    max_age: timedelta | None,
    known_at: datetime | None,
    long_work: LongWork,
) -> Steps:
    """Each step's answer, in order. An error of the store ends it: no step is ever left out."""
    lists = lists.with_hourly_rows(span.stop)

    async def answer(at: datetime) -> Step:
        try:
            async with long_work.step():
                return await lists.find(at, limit=limit, max_age=max_age, known_at=known_at, explain=False)
        except NoSnapshot as exc:
            return StepGap(at, str(exc))

    ahead: deque[asyncio.Task[Step]] = deque()
    try:
        for number in range(span.steps):
            ahead.append(asyncio.create_task(answer(span.at(number))))
            if len(ahead) > AHEAD:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def after_first(steps: Steps) -> Steps:
    """The same steps, the first one already read: a store that is away raises here, before a response begins."""
    first = await anext(steps, None)

    async def all_steps() -> Steps:
        async with aclosing(steps):
            if first is not None:
                yield first
            async for step in steps:
                yield step

    return all_steps()


async def in_groups(steps: AsyncIterator[Step], most_rows: int, totals: Totals) -> AsyncGenerator[list[Step], None]:
    """The steps in groups, each of about `most_rows` rows and at most `GROUP_STEPS` steps. Counts them in `totals`."""
    group: list[Step] = []
    rows = 0
    async for step in steps:
        group.append(step)
        rows += totals.add(step)
        if rows >= most_rows or len(group) == GROUP_STEPS:
            yield group
            group, rows = [], 0
    if group:
        yield group
