"""Equal questions asked at the same time are answered by one piece of work."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flight:
    task: "asyncio.Task[Any]"
    aboard: int = 0


class SingleFlight:
    """The work that is under way. It goes on while anybody waits for it, and ends when the last one has left."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, _Flight] = {}

    async def share(self, question: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer, or the error, of the work for this question: that under way, else begun now."""
        flight = self._under_way.get(question) or self._begun(question, work)
        flight.aboard += 1
        try:
            answer: T = await asyncio.shield(flight.task)
        finally:
            flight.aboard -= 1
            if not flight.aboard and not flight.task.done():
                self._landed(question, flight)
                flight.task.cancel()
        return answer

    def _begun(self, question: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> _Flight:
        flight = self._under_way[question] = _Flight(asyncio.create_task(work()))
        flight.task.add_done_callback(lambda task: self._landed(question, flight))
        return flight

    def _landed(self, question: Hashable, flight: _Flight) -> None:
        if self._under_way.get(question) is flight:  # a later one may have taken its place
            del self._under_way[question]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # looked at, should nobody be left to raise it to
