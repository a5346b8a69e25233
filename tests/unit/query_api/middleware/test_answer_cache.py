"""Answers given again while they stay the same, and no longer in memory once they do not."""

import gc
import weakref
from datetime import datetime, timedelta
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from query_api.middleware.answer_cache import LARGEST_ANSWER, AnswerCache, keep_this_second
from tests.fakes import NOON

NOW = NOON + timedelta(milliseconds=250)


class Timer:
    """Seconds that pass only when they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Route:
    """Stands for a route; it is in memory with each cached answer."""


class App:
    """Counts its answers; each is the same until the end of the second of `now`."""

    def __init__(self, body: bytes = b"body", *, now: datetime | None = NOW) -> None:
        self.answered = 0
        self.routes: list[Any] = []
        self._body = body
        self.now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered += 1
        scope["route"] = route = Route()
        self.routes.append(weakref.ref(route))
        if self.now:
            keep_this_second(scope, self.now)
        await Response(self._body, headers={"vary": "Accept"})(scope, receive, send)


async def ask(app: ASGIApp, query: bytes = b"", method: str = "GET", **headers: str) -> tuple[bytes, dict[str, str]]:
    body, received = b"", dict[str, str]()

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")
        received.update({name.decode(): value.decode() for name, value in message.get("headers", ())})

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": query, "headers": raw}
    await app(scope, None, send)  # type: ignore[arg-type]
    return body, received


@pytest.fixture
def timer() -> Timer:
    return Timer()


async def test_the_same_request_is_answered_once_until_the_end_of_its_second(timer):
    cache = AnswerCache(app := App(), timer=timer)
    assert [(await ask(cache))[0] for _ in range(3)] == [b"body"] * 3
    assert app.answered == 1
    timer.now += 0.749
    await ask(cache)
    assert app.answered == 1
    timer.now += 0.001
    await ask(cache)
    assert app.answered == 2


@pytest.mark.parametrize(
    "other",
    [
        {"query": b"limit=1"},
        {"method": "HEAD"},
        {"accept": "text/csv"},
        {"if_none_match": '"a"'},
        {"accept": "text/csv", "if_none_match": '"a"'},
    ],
)
async def test_a_request_that_differs_in_what_decides_is_another_one(timer, other):
    cache = AnswerCache(app := App(), timer=timer)
    await ask(cache)
    await ask(cache, **other)
    await ask(cache, **other, user_agent="x")
    assert app.answered == 2


@pytest.mark.parametrize("step", [timedelta(days=-400), timedelta(days=400)])
async def test_a_clock_that_is_set_neither_freezes_nor_loses_an_answer(timer, step):
    cache = AnswerCache(app := App(), timer=timer)
    await ask(cache)
    app.now = NOW + step
    timer.now += 0.5
    await ask(cache)
    assert app.answered == 1
    timer.now += 0.5
    await ask(cache)
    timer.now += 0.75
    await ask(cache)
    assert app.answered == 3


async def test_an_expired_answer_is_removed_from_memory(timer):
    cache = AnswerCache(app := App(), timer=timer)
    for number in range(50):
        await ask(cache, str(number).encode())
    timer.now += 1
    await ask(cache, b"one more")
    gc.collect()
    assert [route() is None for route in app.routes] == [True] * 50 + [False]


async def test_all_answers_together_have_a_bound_in_bytes(timer):
    cache = AnswerCache(app := App(bytes(1000)), timer=timer, total_bytes=50_000)
    for number in range(100):
        await ask(cache, b"%d&" % number + bytes(1000))
        assert cache.answers.currsize <= 50_000
    await ask(cache, b"99&" + bytes(1000))
    assert app.answered == 100
    await ask(cache, b"0&" + bytes(1000))
    assert app.answered == 101


@pytest.mark.parametrize("kind", [{"body": bytes(LARGEST_ANSWER + 1)}, {"now": None}])
async def test_an_answer_that_is_too_large_or_not_marked_is_not_cached(timer, kind):
    cache = AnswerCache(app := App(**kind), timer=timer)
    await ask(cache)
    await ask(cache)
    assert app.answered == 2
    assert cache.answers.currsize == 0


async def test_the_headers_of_a_cached_answer_never_change(timer):
    cache = AnswerCache(App(), timer=timer)
    site = CORSMiddleware(cache, allow_origins=["https://named.example"])
    for _ in range(20):
        _, named = await ask(site, origin="https://named.example")
        assert named["access-control-allow-origin"] == "https://named.example"
        assert named["vary"] == "Accept, Origin"
    _, other = await ask(site, origin="https://other.example")
    assert "access-control-allow-origin" not in other
    _, own = await ask(cache)
    assert own["vary"] == "Accept"
