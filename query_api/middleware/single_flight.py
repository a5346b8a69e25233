"""Equal requests at the same time share one piece of work."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _SharedWork:
    task: "asyncio.Task[Any]"
    waiting: int = 0


class SingleFlight:
    """The shared work that is running. It goes on while anybody waits for it, and is cancelled when nobody does."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _SharedWork] = {}

    async def share(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result, or raise the error, of the work with this key; start it unless it is running."""
        shared = self._running.get(key) or self._start(key, work)
        shared.waiting += 1
        try:
            result: T = await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                self._end(key, shared)
                shared.task.cancel()
        return result

    def _start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> _SharedWork:
        shared = self._running[key] = _SharedWork(asyncio.create_task(work()))
        shared.task.add_done_callback(lambda task: self._end(key, shared))
        return shared

    def _end(self, key: Hashable, shared: _SharedWork) -> None:
        if self._running.get(key) is shared:  # new work may have taken its place
            del self._running[key]
        if shared.task.done() and not shared.task.cancelled():
            shared.task.exception()  # retrieved here, in case nobody waits for it any more
