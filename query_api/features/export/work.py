"""The list as of each step of a span: the answers of `/v1/top` in a row, in flat memory."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from lib.archive.panel import Totals
from lib.clock import DAY, HOUR, slot
from lib.instants import Span
from query_api.asof.absence import NoSnapshot
from query_api.asof.top_list import ListQuery, TopList, TopListFinder
from query_api.long_work import LongWork

MOST_STEPS = 10_000
MOST_ROWS = 12_000
"""Steps are read together up to about so many rows. Two such blocks are in memory, however long the span."""
LONGEST = HOUR
"""A block's span. Hours are read two days at a time."""
GROUP_STEPS = 100
"""The most steps of a block."""


Step = TopList | NoSnapshot
"""The answer of a step, or why it has none."""
Steps = AsyncGenerator[Step, None]


def totals_of_step(step: Step) -> Totals:
    """The totals of an export of this step alone."""
    if isinstance(step, NoSnapshot):
        return Totals(steps=1, gaps=1, known_at=step.known_since)
    content = repr((step.at, [marker and marker.hash for marker in step.markers])).encode()
    digest = int.from_bytes(hashlib.blake2b(content, digest_size=16).digest())
    missing = set(step.filtered.missing) if step.filtered else None
    return Totals(1, 1, 0, len(step.rows), digest, step.known_since, missing)


async def read_steps(lists: TopListFinder, span: Span, query: ListQuery, long_work: LongWork) -> Steps:
    """Each step's answer, in order. An error of the store ends it: no step is ever left out."""

    async def answers(instants: Sequence[datetime]) -> list[Step]:
        async with long_work.step():
            return await lists.find_each(instants, query, long_work)

    ahead: asyncio.Task[list[Step]] | None = None
    try:
        for instants in _blocks(span, query.limit):
            block, ahead = ahead, asyncio.create_task(answers(instants))
            for step in await block if block else ():
                yield step
        for step in await ahead if ahead else ():
            yield step
    finally:
        if ahead:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)


def _blocks(span: Span, top: int) -> Iterator[list[datetime]]:
    """The steps in blocks that are read together."""
    is_hourly = span.every % HOUR == timedelta() and slot(span.start, HOUR) == span.start
    size = max(1, min(GROUP_STEPS, MOST_ROWS // top, (2 * DAY if is_hourly else LONGEST) // span.every))
    instants = [span.at(number) for number in range(span.steps)]
    return (instants[at : at + size] for at in range(0, len(instants), size))


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


async def in_groups(steps: AsyncIterator[Step], totals: Totals) -> AsyncGenerator[list[Step], None]:
    """The steps in groups, each of about `MOST_ROWS` rows and at most `GROUP_STEPS` steps. Counts them in `totals`."""
    group: list[Step] = []
    rows = 0
    async for step in steps:
        group.append(step)
        totals.add(totals_of_step(step))
        rows += len(step.rows) if isinstance(step, TopList) else 1
        if rows >= MOST_ROWS or len(group) == GROUP_STEPS:
            yield group
            group, rows = [], 0
    if group:
        yield group
