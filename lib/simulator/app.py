"""All vendors' APIs as one ASGI application, for a server on loopback or in process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from lib.clock import Clock
from lib.simulator.answer import Answer
from lib.simulator.faults import Fault, Script
from lib.simulator.feed import MarketFeed
from lib.simulator.market import Market
from lib.simulator.refusals import RequestRefused
from lib.simulator.replay import Replay
from lib.simulator.sabotage import REPLACING, spoiled
from lib.simulator.vendor import Plan, Serve
from lib.simulator.vendors import routes

Sleep = Callable[[float], Awaitable[None]]

_CHUNK = b" " * 65536


def create_app(
    upstream: Market | Replay,
    clock: Clock,
    *,
    plan: Plan | None = None,
    coindesk_plan: Plan | None = None,
    faults: Iterable[Fault] = (),
    sleep: Sleep = asyncio.sleep,
) -> Starlette:
    """The APIs over a simulated market or recorded answers, with the faults of a script.

    Usage is counted per key on `clock`, against `plan` at CoinMarketCap and `coindesk_plan` at CoinDesk. With an
    unlimited `plan` no vendor has a limit.
    """
    feed = upstream if isinstance(upstream, Replay) else MarketFeed(upstream)
    script = Script(faults)

    def endpoint(serve: Serve) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            met = script.next(request.url.path)
            for fault in met:
                if fault.kind == "delay":
                    await sleep(fault.seconds)
            # A replaced answer is not charged and does not advance a replay.
            is_replaced = any(fault.kind in REPLACING for fault in met)
            frozen = script.frozen(met, clock())
            answer = Answer(b"") if is_replaced else _answer(serve, request, frozen)
            for fault in met:
                answer = spoiled(answer, fault, request.url.path, request.query_params, clock())
            return _response(answer, met)

        return respond

    served = routes(feed, clock, plan or Plan(), coindesk_plan)
    return Starlette(routes=[Route(path, endpoint(serve), methods=["GET"]) for path, serve in served.items()])


def _answer(serve: Serve, request: Request, frozen: datetime | None) -> Answer:
    try:
        return serve(request, frozen)
    except RequestRefused as exc:
        return exc.answer


def _response(answer: Answer, faults: Sequence[Fault]) -> Response:
    headers = dict(answer.headers)
    for fault in faults:
        if fault.kind == "cut":
            headers["content-length"] = str(len(answer.body))
            return StreamingResponse(_cut(answer.body), answer.status, headers, answer.media)
        if fault.kind == "huge":
            return StreamingResponse(_blanks(fault.bytes), answer.status, headers, answer.media)
    return Response(answer.body, answer.status, headers, answer.media)


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    """Half of the body, then the end of the connection: a server closes it; a caller in process gets the error."""
    yield body[: len(body) // 2]
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body (simulated)")


async def _blanks(size: int) -> AsyncIterator[bytes]:
    for left in range(size, 0, -len(_CHUNK)):
        yield _CHUNK[:left]
