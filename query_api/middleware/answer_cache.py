"""Answers that stay the same until the end of the second, given again from memory before any routing.

Rules: exactly the same method, path, query, Accept, Accept-Encoding and If-None-Match; only what a route marks by
`keep_this_second`; within its second by a clock that is never set; bounded in bytes; headers in a tuple, so that nobody
changes them.
It lies inside of access control and CORS, which decide for each caller anew.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import TLRUCache
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from query_api.middleware.security_headers import STATUS

KEEP_FOR = "topcoins.keep_for"
"""The scope entry with the seconds that an answer stays the same, counted from when its request arrived."""
LARGEST_ANSWER = 4 * 2**20
TOTAL_BYTES = 32 * 2**20
OVERHEAD = 2048
"""Bytes that an answer takes beside its body and its request, so that many small ones do not count as nothing."""
_DECIDING = (b"accept", b"accept-encoding", b"if-none-match")


def keep_this_second(scope: Scope, now: datetime) -> None:
    """Mark an answer that is the same for every request of the second of `now`, when its request arrived."""
    scope[KEEP_FOR] = 1 - now.microsecond / 1e6


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A whole answer. `route` is what it is counted under."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    deadline: float
    size: int
    route: Any


class AnswerCache:
    """An ASGI middleware that gives an answer again as long as it stays the same."""

    def __init__(self, app: ASGIApp, *, timer: Callable[[], float], total_bytes: int = TOTAL_BYTES) -> None:
        self._app = app
        self._timer = timer
        self.answers: TLRUCache[Hashable, CachedAnswer] = TLRUCache(
            total_bytes, ttu=lambda key, answer, now: answer.deadline, timer=timer, getsizeof=lambda answer: answer.size
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass on and remember the answer."""
        deciding = tuple([header for header in scope["headers"] if header[0] in _DECIDING])
        key = (scope["method"], scope["path"], scope["query_string"], deciding)
        try:
            answer = self.answers[key]  # `get` looks at the time twice
        except KeyError:
            await self._pass_on(key, scope, receive, send)
            return
        scope["route"], scope[STATUS] = answer.route, answer.status
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _pass_on(self, key: Hashable, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = self._timer()
        start: Message | None = None

        async def remember(message: Message) -> None:
            nonlocal start
            body = message.get("body", b"")
            # A route marks its answer before the first byte. Only a body that comes in one piece is remembered.
            if message["type"] == "http.response.start":
                start = {**message, "headers": tuple(message["headers"])} if KEEP_FOR in scope else None
            elif start and not message.get("more_body", False) and len(body) <= LARGEST_ANSWER:
                deadline, size = arrived + scope[KEEP_FOR], len(body) + OVERHEAD + len(repr(key))
                status, headers, route = start["status"], start["headers"], scope.get("route")
                self.answers[key] = CachedAnswer(status, headers, body, deadline, size, route)
            else:
                start = None
            await send(message)

        await self._app(scope, receive, remember)
