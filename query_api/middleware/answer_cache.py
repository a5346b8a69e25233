"""Repeated questions of the same second answered from memory, before any routing."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachetools import TLRUCache
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.clock import Clock

CACHE_UNTIL = "topcoins.cache_until"
"""The scope entry by which a route says how long its answer stays the same: an aware datetime."""

LARGEST = 4 * 2**20
"""Bytes of one answer that is kept."""
HELD = 32 * 2**20
"""Bytes of all of them; those whose time is over go as the next one comes."""
OVERHEAD = 2048
"""What an answer takes beside its body, so that many empty ones do not count as nothing."""


@dataclass(frozen=True, slots=True)
class _Answer:
    messages: tuple[Message, ...]
    until: datetime
    route: Any
    size: int


class AnswerCache:
    """An ASGI middleware that keeps whole answers, for as long as their route says they stay the same."""

    def __init__(self, app: ASGIApp, *, clock: Clock) -> None:
        self._app = app
        self._answers: MutableMapping[Any, _Answer] = TLRUCache(HELD, ttu=_until, timer=clock, getsizeof=_size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from memory, or pass on and remember."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key = (scope["method"], scope["path"], scope["query_string"], _deciding_headers(scope))
        kept = self._answers.get(key)
        if kept:
            scope["route"] = kept.route
            for message in kept.messages:
                await send(message)
            return
        await self._pass_on(key, scope, receive, send)

    async def _pass_on(self, key: object, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []
        size = 0

        async def remember(message: Message) -> None:
            nonlocal size
            # Said before the first byte; a stream, which never ends, does not.
            if CACHE_UNTIL in scope and size <= LARGEST:
                messages.append(message)
                size += len(message.get("body", b""))
            await send(message)

        await self._app(scope, receive, remember)
        until = scope.get(CACHE_UNTIL)
        if until and size <= LARGEST:
            self._answers[key] = _Answer(tuple(messages), until, scope.get("route"), size)


def _until(key: object, answer: _Answer, now: datetime) -> datetime:
    return answer.until


def _size(answer: _Answer) -> int:
    return answer.size + OVERHEAD


def _deciding_headers(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, value) for name, value in scope["headers"] if name in (b"accept", b"if-none-match"))
