"""The pairs of many instants, each pair looked for once."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from query_api.asof.absence import NoSnapshot
from query_api.asof.find_pair import PairFinder, PairFound
from query_api.long_work import LongWork


async def find_pairs(
    finder: PairFinder,
    instants: Iterable[datetime],
    long_work: LongWork,
    *,
    max_age: timedelta | None,
    known_at: datetime | None,
) -> dict[datetime, PairFound | NoSnapshot]:
    """What `PairFinder.search` answers for each instant. It is asked once for all instants that one answer is for."""
    answers: dict[datetime, PairFound | NoSnapshot] = {}
    last: PairFound | NoSnapshot | None = None
    for at in sorted(instants, reverse=True):
        if last is None or not _answers_too(last, at):
            async with long_work.step():
                last = await finder.search(at, max_age=max_age, known_at=known_at)
        if isinstance(last, PairFound):
            last = replace(last, at=at, among=())  # these markers are large
        elif last.absence:
            last = last.absence.explain(at)
        answers[at] = last
    return answers


def _answers_too(answer: PairFound | NoSnapshot, earlier: datetime) -> bool:
    """Whether the answer of an instant is certain to be that of an earlier one, for the same parameters.

    A pair is the newest up to every instant from its ticks on.
    """
    if isinstance(answer, NoSnapshot):
        return answer.absence is not None and answer.absence.covers(earlier)
    return max(answer.pair.price.tick, answer.pair.rank.tick) <= earlier
