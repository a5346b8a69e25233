"""One thread that works for an event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


@dataclass(slots=True)
class _Batch:
    loop: asyncio.AbstractEventLoop
    jobs: list[Job] = field(default_factory=list)


class Worker:
    """Runs pieces of work one after the other in its thread.

    Those that are asked for in one turn of the event loop go to the thread and come back together: each change of
    threads costs as much as a small query.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._next: _Batch | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the work, or what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._next is None or self._next.loop is not loop:
            self._next = _Batch(loop)
            loop.call_soon(self._send, self._next)
        self._next.jobs.append((work, future))
        return await future

    def end(self) -> None:
        """Wait for the work under way, then end the thread."""
        self._thread.shutdown()

    def _send(self, batch: _Batch) -> None:
        if self._next is batch:
            self._next = None
        self._thread.submit(_run, batch)


def _run(batch: _Batch) -> None:
    outcomes = [(future, _outcome(work)) for work, future in batch.jobs if not future.cancelled()]
    batch.loop.call_soon_threadsafe(_deliver, outcomes)


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as exc:
        return None, exc


def _deliver(outcomes: Sequence[tuple["asyncio.Future[Any]", tuple[Any, BaseException | None]]]) -> None:
    for future, (result, error) in outcomes:
        if future.cancelled():
            continue
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)
