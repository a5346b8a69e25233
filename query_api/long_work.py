"""The lane for long work: exports, long histories, sparklines, gaps. Short requests never wait in it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from lib.errors import Busy

T = TypeVar("T")

REQUESTS = 48
REQUESTS_PER_CLIENT = 16


class LongWork:
    """Bounds long requests in number, in all and per client. Their steps run one at a time, and so does their CPU work.

    Steps of all requests run first come, first served; a step is what one short request would ask of the store:

        with long_work.request(client):       # raises Busy (503) when there are too many
            for at in instants:
                async with long_work.step():
                    ...
    """

    def __init__(self, *, requests: int = REQUESTS, per_client: int = REQUESTS_PER_CLIENT) -> None:
        # Two at a time would leave a short request a third of the interpreter and of the store.
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="long-work")
        self._requests = requests
        self._per_client = per_client
        self._running: Counter[str] = Counter()

    @contextmanager
    def request(self, client: str) -> Iterator[None]:
        """Count one long request of a client while it runs; Busy when the client or the service has too many."""
        if self._running[client] >= self._per_client:
            raise Busy(f"{client} has {self._per_client} exports or other long requests running, the most a client may")
        if self._running.total() >= self._requests:
            raise Busy(f"{self._requests} exports and other long requests are running, the most at a time")
        self._running[client] += 1
        try:
            yield
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]

    @asynccontextmanager
    async def single_step(self, client: str) -> AsyncIterator[None]:
        """Run a long request of a client as one step."""
        with self.request(client):
            async with self.step():
                yield

    def step(self) -> AbstractAsyncContextManager[None]:
        """Run one step, after those that asked earlier."""
        return self._turn

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run work that takes CPU and waits for nothing in the lane's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
