"""Answers kept for their time: given again while it lasts, and no longer held once it is over."""

import gc
import weakref
from datetime import timedelta
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from query_api.middleware.answer_cache import CACHE_UNTIL, LARGEST, AnswerCache
from tests.fakes import NOON, FakeClock

SECOND = timedelta(seconds=1)


class Route:
    """Stands for a route; it is held with each kept answer."""


class App:
    """Counts its answers, which stay the same for a second."""

    def __init__(self, clock: FakeClock, body: bytes = b"body", *, fresh: bool = True) -> None:
        self.answered = 0
        self.routes: list[Any] = []
        self._clock = clock
        self._body = body
        self._fresh = fresh

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered += 1
        scope["route"] = route = Route()
        self.routes.append(weakref.ref(route))
        if self._fresh:
            scope[CACHE_UNTIL] = self._clock() + SECOND
        await Response(self._body)(scope, receive, send)


async def ask(warm: AnswerCache, query: bytes = b"") -> bytes:
    body = b""

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": []}
    await warm(scope, None, send)  # type: ignore[arg-type]
    return body


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


async def test_the_same_question_is_answered_once_in_its_time(clock):
    warm = AnswerCache(app := App(clock), clock=clock)
    assert [await ask(warm) for _ in range(3)] == [b"body"] * 3
    await ask(warm, b"limit=1")
    assert app.answered == 2
    clock.move(seconds=1)
    await ask(warm)
    assert app.answered == 3


async def test_answers_whose_time_is_over_are_not_held(clock):
    warm = AnswerCache(app := App(clock), clock=clock)
    for number in range(50):
        await ask(warm, str(number).encode())
    clock.move(seconds=1)
    await ask(warm, b"one more")
    gc.collect()
    assert [route() is None for route in app.routes] == [True] * 50 + [False]


@pytest.mark.parametrize("kind", [{"body": bytes(LARGEST + 1)}, {"fresh": False}])
async def test_what_is_too_large_or_has_no_time_is_not_kept(clock, kind):
    warm = AnswerCache(app := App(clock, **kind), clock=clock)
    await ask(warm)
    await ask(warm)
    assert app.answered == 2
