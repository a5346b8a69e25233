"""The list as of each step of a span: the answers of `/v1/top` in a row, in flat memory."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from lib.archive.panel import Totals
from lib.instants import Span
from query_api.asof.absence import NoSnapshot
from query_api.asof.filters import NO_FILTERS, Filters
from query_api.asof.top_list import TopList, TopListFinder
from query_api.long_work import LongWork

MOST_STEPS = 10_000
AHEAD = 2
"""Steps that are worked on before they are needed. So many answers are in memory, however long the span."""

GROUP_STEPS = 100


@dataclass(frozen=True, slots=True)
class ExportList:
    """Which list an export has at each step."""

    top: int
    max_age: timedelta | None
    filters: Filters = NO_FILTERS
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepGap:
    """A step that has no answer, why, and the earliest `known_at` that shows the gap."""

    at: datetime
    why: str
    known_since: datetime


Step = TopList | StepGap
Steps = AsyncGenerator[Step, None]


def totals_of_step(step: Step) -> Totals:
    """The totals of an export of this step alone."""
    if isinstance(step, StepGap):
        return Totals(steps=1, gaps=1, known_at=step.known_since)
    content = repr((step.at, [marker and marker.hash for marker in step.markers])).encode()
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=16).digest())
    missing = set(step.filtered.missing) if step.filtered else None
    return Totals(1, 1, 0, len(step.rows), digest, step.known_since, missing)


async def read_steps(
    lists: TopListFinder, span: Span, wanted: ExportList, *, known_at: datetime | None, long_work: LongWork
) -> Steps:
    """Each step's answer, in order. An error of the store ends it: no step is ever left out."""
    lists = lists.with_hourly_rows(span.stop)

    async def answer(at: datetime) -> Step:
        try:
            async with long_work.step():
                return await lists.find(
                    at,
                    limit=wanted.top,
                    max_age=wanted.max_age,
                    known_at=known_at,
                    filters=wanted.filters,
                    more=wanted.more,
                    explain=False,
                )
        except NoSnapshot as exc:
            return StepGap(at, str(exc), exc.known_since)

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
        totals.add(totals_of_step(step))
        rows += len(step.rows) if isinstance(step, TopList) else 1
        if rows >= most_rows or len(group) == GROUP_STEPS:
            yield group
            group, rows = [], 0
    if group:
        yield group
